"""How long the service keeps what devices sent."""
