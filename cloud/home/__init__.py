"""Shows the fleet in Home Assistant: what is published for it, and what is heard from it."""
