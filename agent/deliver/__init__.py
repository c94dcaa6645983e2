"""Keeping what must reach the cloud, and getting it there: outbox, link, status, telemetry, ledger of bytes."""
