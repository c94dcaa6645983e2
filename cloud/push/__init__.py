"""Alerts to wherever their people are: webhooks, ntfy and the like."""
