"""What each command of `vedette-agent` does; the one place where parts are put together."""
