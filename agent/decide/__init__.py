"""What to tell and what to ask about: rules held against tracks. Pure: time and ids are passed in."""
