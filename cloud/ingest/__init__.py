"""From the broker into the store: a device hears that its alert was taken only after the commit."""
