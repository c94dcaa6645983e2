"""What a log line holds."""

from __future__ import annotations

import json
import logging

from cloud.adapters.nats_claims import Connecting
from cloud.adapters.nats_config import BrokerSecrets
from cloud.log import Lines
from wire.log_lines import JsonLines


def record(**extra: object) -> logging.LogRecord:
    made = logging.LogRecord("cloud.x", logging.WARNING, __file__, 1, "refused %s", ("it",), None)
    vars(made).update(extra)
    return made


def test_json_line_holds_the_message_and_what_was_passed_with_it() -> None:
    line = json.loads(JsonLines().format(record(device="cam-1\n", more=0)))
    assert (line["level"], line["from"], line["message"], line["device"]) == (
        "warning",
        "cloud.x",
        "refused it",
        "cam-1\n",
    )
    assert "more" not in line


def test_line_for_people_holds_the_same() -> None:
    assert "refused it device=cam-1" in Lines().format(record(device="cam-1"))


def test_secrets_do_not_show_when_printed() -> None:
    secrets = BrokerSecrets()
    assert secrets.cloud not in repr(secrets)
    who = Connecting(user="cam-1", password="vdt_secret", client_id="cam-1", connection=1, server="s", user_key="u")
    assert "vdt_secret" not in repr(who)
