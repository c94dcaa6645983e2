"""What a service manager is told of the agent: that it is ready, that it lives, and how it is doing, in words."""
