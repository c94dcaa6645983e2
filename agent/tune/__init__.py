"""From the cloud's answers to bands of scores that keep the operator's objective."""
