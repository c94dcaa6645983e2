"""The cloud's ports, on real things: the broker and the connection to it, the clock, the process."""
