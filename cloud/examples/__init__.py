"""Hard examples: pictures of which devices were unsure or wrong, as a data set to learn from."""
