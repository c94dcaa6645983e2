"""Model updates: signed, proven in a process of their own, tried on live frames, watched, undone by themselves."""
