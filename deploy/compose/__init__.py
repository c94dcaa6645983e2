"""A fleet under docker compose."""
