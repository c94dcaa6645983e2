"""Learning from recorded answers what a question is likely to be worth."""
