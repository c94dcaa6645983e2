"""A receiver's settings."""

from __future__ import annotations

from cloud.push.settings import PushSettings


def push(**changes: object) -> PushSettings:
    fields: dict[str, object] = {"name": "phone"}
    if "url_file" not in changes:
        fields["url"] = "https://push.example/topic"
    return PushSettings.model_validate(fields | changes)
