"""Model updates: signed, proven in a process of their own, tried on live frames, watched, and undone by themselves."""
