"""Bringing a release to a group of devices, stage by stage: `plan` decides, `service` acts."""
