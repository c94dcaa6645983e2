"""Asking the cloud: which part of the frame to show, in which order to send, and when to give up."""
