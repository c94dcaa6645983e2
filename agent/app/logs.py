"""Where the agent's log goes: lines for people, to standard error, which systemd's journal takes up."""

from __future__ import annotations

import logging
import sys
import time


def begin_logging(level: str) -> None:
    """Log from `level` on; times are UTC, since devices move and lie about their zone."""
    formatter = logging.Formatter("%(asctime)s %(levelname)-7s %(name)s: %(message)s", "%Y-%m-%dT%H:%M:%SZ")
    formatter.converter = time.gmtime
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(formatter)
    logging.basicConfig(level=level.upper(), handlers=[handler], force=True)
    logging.captureWarnings(capture=True)
    # One line per HTTP request would drown what matters, and holds URLs.
    for chatty in ("httpx", "httpcore"):
        logging.getLogger(chatty).setLevel(logging.WARNING)
