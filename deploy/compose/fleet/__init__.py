"""A fleet on one machine, to try things on: what its devices are like, how they get in, and what their links do.

Not for a real fleet: there an operator makes each claim, and links are bad by themselves.
"""
