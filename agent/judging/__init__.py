"""What stands around the judging thread: its ports, what others want of it, what it keeps from frame to frame."""
