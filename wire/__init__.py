"""What the device and the cloud say to each other: types, topics, limits and the codec.

A leaf package: it imports neither side, and reaches no clock, socket, file or random source.
"""
