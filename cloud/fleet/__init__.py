"""Which devices there are, who is who, and who is there."""
