"""Operators: the people who may look at the dashboard, their passwords, sessions and tokens."""
