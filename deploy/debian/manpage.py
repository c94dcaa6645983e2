"""The manual page, made from the command line's own parser."""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from typing import Final

HEAD: Final = '.TH VEDETTE-AGENT 1 "" "vedette {version}" "User Commands"\n'
FILES: Final = {
    "/etc/vedette/agent.toml": "What is watched, and where alerts go. Every key is described in the project's docs.",
    "/etc/vedette/token": "The device's password, readable by root alone; without it the service does not start.",
    "/etc/vedette/claim": "Instead of a token, with the drop-in certificates.conf: what it gets a certificate for.",
    "/var/lib/vedette-agent": "Alerts and questions that wait to be delivered, models, and the record of updates.",
    "/etc/systemd/system/vedette-agent.service.d": "Own settings of the service.",
    "/usr/share/vedette-agent/systemd": "Drop-ins for accelerators and for certificates, to be linked there.",
}
SERVICE: Final = (
    "As a service it starts once \\fI/etc/vedette/token\\fR is there. \\fBsystemctl status vedette\\-agent\\fR shows"
    " a line about its cameras, alerts, link and model, \\fBjournalctl \\-u vedette\\-agent\\fR the rest, and"
    " \\fBsystemctl reload vedette\\-agent\\fR takes over changed rules, or fails and leaves all as it was."
)


def manual(parser: argparse.ArgumentParser, version: str) -> str:
    """The page as roff.

    Args:
        parser: Of the whole program.
        version: Of the program.
    """
    commands = dict(_commands(parser))
    lines = [HEAD.format(version=version), ".SH NAME"]
    lines.append("vedette\\-agent \\- watch cameras, raise alerts over MQTT, ask the cloud when unsure")
    lines += [
        ".SH SYNOPSIS",
        *(f".B {_plain(command.format_usage()[7:].strip())}\n.br" for command in commands.values()),
    ]
    lines += [".SH DESCRIPTION", _plain(parser.description or ""), ".SH COMMANDS"]
    for name, command in commands.items():
        lines += [f".SS {_plain(name)}", _plain(command.description or "")]
        lines += [line for action in command._actions if action.help for line in _option(action)]  # noqa: SLF001
    lines += [".SH SERVICE", SERVICE, ".SH FILES"]
    lines += [line for path, what in FILES.items() for line in (".TP", f".I {_plain(path)}", _plain(what))]
    lines += [".SH EXIT STATUS", _plain((parser.epilog or "").removeprefix("exit codes: ")), ""]
    return "\n".join(lines)


def _commands(parser: argparse.ArgumentParser) -> Iterator[tuple[str, argparse.ArgumentParser]]:
    for action in parser._actions:  # noqa: SLF001 - argparse has no public way to what was added
        if isinstance(action, argparse._SubParsersAction):  # noqa: SLF001
            yield from action.choices.items()


def _option(action: argparse.Action) -> Iterator[str]:
    value = "" if action.nargs == 0 else action.metavar or "|".join(map(str, action.choices or ())) or "VALUE"
    yield ".TP"
    yield f".B {_plain(', '.join(action.option_strings))} {_plain(str(value))}".rstrip()
    yield _plain(action.help or "")


def _plain(text: str) -> str:
    """Text in which nothing means anything to roff."""
    escaped = " ".join(text.split()).replace("\\", "\\\\").replace("-", "\\-")
    return f"\\&{escaped}" if escaped.startswith((".", "'")) else escaped
