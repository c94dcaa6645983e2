"""How good the devices are: frames that they drew at random, looked at again here, and what follows from that."""
