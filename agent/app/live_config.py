"""The configuration that the running agent goes by. SIGHUP and `set-config` change it, one after the other.

A change reads the agent's file and the overrides, checks both together, and hands what may change while running to
the judging thread. Were a second one let in between, it could be undone by what the first had read before it.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from agent.app.overrides import keep, kept, load_overridden, overridden
from agent.app.watching import new_rules
from agent.config import Config
from agent.judging.inbox import Inbox

log: Final = logging.getLogger(__name__)

LIVE: Final = frozenset({"rules", "zones", "masks", "asking", "log_level"})
"""The keys that take effect between two frames; any other takes a restart."""


class LiveConfig:
    """See the module. Its methods may be called from any thread, and wait for disks and for each other.

    Args:
        path: The agent's file.
        config: As it was read at the start, under what commands had set.
        inbox: The judging thread's.
    """

    def __init__(self, path: Path, config: Config, inbox: Inbox) -> None:
        self._path = path
        self._config = config
        self._inbox = inbox
        self._changing = threading.Lock()
        # The command line's, where that says another than the file.
        self._log_level = logging.getLogger().level

    @property
    def rules(self) -> frozenset[str]:
        """The names of the rules at work."""
        return frozenset(rule.name for rule in self._config.rules)

    @property
    def overridden(self) -> frozenset[str]:
        """The keys that commands have set over the file's."""
        return frozenset(kept(self._config.data_dir))

    def reload(self) -> list[str]:
        """Read the file again, under what commands have set; the keys that changed.

        Raises:
            ConfigInvalid: The file can't be used, and nothing changed.
        """
        with self._changing:
            changed = self._take(load_overridden(self._path))
            # What a command has set holds until now.
            logging.getLogger().setLevel(self._log_level)
            return changed

    def override(self, overrides: Mapping[str, object] | None) -> list[str]:
        """Set keys over the file's, to stay over a restart; None takes back all that were set. The keys that changed.

        A key that an earlier command set stays set: two commands about different keys do not undo each other.

        Raises:
            ConfigInvalid: Together with the file they can't be used, and nothing changed.
            OutboxUnwritable: The disk refuses, and nothing changed.
        """
        with self._changing:
            data_dir = self._config.data_dir
            wanted = None if overrides is None else {**kept(data_dir), **overrides}
            config = overridden(self._path, wanted or {})
            keep(data_dir, wanted)
            return self._take(config)

    def _take(self, config: Config) -> list[str]:
        changed = {key for key in Config.model_fields if getattr(config, key) != getattr(self._config, key)}
        for key in sorted(changed - LIVE):
            log.warning("%s changed: that takes a restart", key)
        if changed & LIVE:
            if "log_level" in changed:
                self._log_level = logging.getLevelNamesMapping()[config.log_level.upper()]
                logging.getLogger().setLevel(self._log_level)
            # The rest stays as it was at the start: new rules must not count on a camera or cloud that is not there.
            self._config = self._config.model_copy(update={key: getattr(config, key) for key in LIVE})
            self._inbox.put(new_rules(self._config))
        live = sorted(changed & LIVE)
        log.info("configuration reloaded: %s", ", ".join(live) or "nothing changed")
        return live
