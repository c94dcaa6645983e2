"""The device: it sees, decides on the spot, speaks up when it matters, and asks when it is unsure."""
