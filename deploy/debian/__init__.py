"""Packs the agent as a Debian package."""
