"""Remote commands: each states what is wanted, expires, is done once and is always answered."""
