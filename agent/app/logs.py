"""Logging: lines for people, or JSON for programs, to standard error, which systemd's journal takes up."""

from __future__ import annotations

import logging
import os
import sys

from agent.deliver.messages import Boot
from wire.log_lines import JsonLines, LogFormat, TextLines, is_json


def begin_logging(level: str, form: LogFormat = "auto") -> None:
    """Log from `level` on."""
    handler = logging.StreamHandler(sys.stderr)
    for_people = sys.stderr.isatty() or "JOURNAL_STREAM" in os.environ
    handler.setFormatter(JsonLines() if is_json(form, for_people=for_people) else TextLines())
    logging.basicConfig(level=level.upper(), handlers=[handler], force=True)
    logging.captureWarnings(capture=True)
    # One line per HTTP request would drown what matters, and holds URLs.
    for chatty in ("httpx", "httpcore"):
        logging.getLogger(chatty).setLevel(logging.WARNING)


def named_in_log(boot: Boot) -> Boot:
    """The same; the device and this start of its agent are named in every JSON line from here on."""
    for handler in logging.getLogger().handlers:
        if isinstance(handler.formatter, JsonLines):
            handler.formatter.always = {"device": boot.device, "boot_id": boot.boot_id}
    return boot
