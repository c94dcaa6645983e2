"""The cloud's HTTP side: the devices' door, the read API with its live events, and the dashboard's files."""
