"""What may be typed: the agent's commands and options, and how each is read.

Reading imports no more than it needs: see `agent.__main__`.
"""

from __future__ import annotations

import argparse
import contextlib
import re
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Final

from agent.app.turns import FEWEST_FRAMES_A_TURN, FRAMES_A_TURN
from agent.supervise.unit import CONFIG, DEVICES

if TYPE_CHECKING:
    from agent.deliver.receipts import Mark

Command = Callable[[argparse.Namespace], int]
"""Does what was typed; its exit code."""

EPILOG: Final = """\
exit codes: 0 done, 1 failed (the message says what to do), 2 wrong command line, 3 the egress log was tampered with,
75 start it again (a command asked for it), 78 wrong configuration, 130 interrupted
"""


def argument_parser(done_by: Mapping[str, Command]) -> argparse.ArgumentParser:
    """What reads the command line; `command` of what it read is the one of `done_by` that was named."""
    whole = argparse.ArgumentParser(
        prog="vedette-agent",
        description="Watches cameras with a small detector, raises alerts over MQTT, asks the cloud when unsure.",
        epilog=EPILOG,
    )
    whole.add_argument("--version", action="version", version=f"vedette {version('vedette')}")
    commands = whole.add_subparsers(title="commands", required=True, metavar="COMMAND")

    def command(name: str, what: str) -> argparse.ArgumentParser:
        one = commands.add_parser(name, help=what, description=f"{what[0].upper()}{what[1:]}.", epilog=EPILOG)
        one.set_defaults(command=done_by[name])
        return one

    one = command("run", "watch, as the configuration says; SIGTERM ends it cleanly, SIGHUP reloads rules")
    one.add_argument("--config", type=Path, required=True, metavar="FILE", help="the agent's TOML file")
    one.add_argument("--until-end", action="store_true", help="end when every recorded source is over")
    one.add_argument("--log-level", choices=("debug", "info", "warning", "error"), help="overrides the configuration")

    one = command("check", "say what is wrong with a configuration, its model and its sources")
    one.add_argument("--config", type=Path, required=True, metavar="FILE", help="the agent's TOML file")
    one.add_argument("--settings-only", action="store_true", help="open nothing, as before a reload")
    one.add_argument("--json", action="store_true", help="for programs")

    one = command(
        "enroll",
        "get this device its certificate: reads the claim that `vedette device enroll` printed from standard input",
    )
    _identity_option(one)
    one.add_argument(
        "--claim",
        type=Path,
        metavar="FILE",
        help="take the claim from there, once: harmless at each start, with no FILE, and without a network",
    )

    one = command("renew", "get the next certificate now; `run` does so by itself in time")
    _identity_option(one)

    one = command("detect", "run the detector alone over a video or a folder of pictures")
    one.add_argument("--source", required=True, type=_recorded, help="a video file or a folder of pictures")
    one.add_argument("--jsonl", type=Path, metavar="OUT", help="where the lines go (standard output)")
    one.add_argument("--min-score", type=_share, default=0.05, metavar="S", help="leave out lower scores (0.05)")
    _model_options(one)

    one = command("bench", "measure this device's speed against the bare runtime in the same run")
    one.add_argument("--source", required=True, type=_recorded, help="a video file or a folder of pictures")
    one.add_argument(
        "--frames",
        type=_frames,
        default=FRAMES_A_TURN,
        metavar="N",
        help=f"in each of twelve turns ({FRAMES_A_TURN}); fewer are quicker, and tell less",
    )
    one.add_argument("--json", action="store_true", help="for programs")
    _model_options(one)

    one = command("egress", "say what left this device, and hold its log to its chain")
    where = one.add_mutually_exclusive_group(required=True)
    where.add_argument("--config", type=Path, metavar="FILE", help="the agent's TOML file; it names the data folder")
    where.add_argument("--data-dir", type=Path, metavar="DIR", help="the data folder itself")
    one.add_argument("--since", type=_moment, metavar="WHEN", help="a date or time, or how long ago: 90m, 24h, 7d")
    one.add_argument(
        "--by", choices=("reason", "camera", "day", "host"), default="reason", help="how sums are grouped (reason)"
    )
    one.add_argument("--verify", action="store_true", help="only say whether the log is whole; 3 where it is not")
    one.add_argument(
        "--mark",
        type=_mark,
        metavar="N:HASH",
        help="a mark that the cloud kept: the log must hold it; 3 where it does not",
    )
    one.add_argument("--json", action="store_true", help="for programs")

    one = command("install-service", "make the agent a systemd service of this machine")
    _service_options(one)
    one.add_argument("--user", metavar="NAME", help="who runs it (a user that systemd makes for the time it runs)")
    one.add_argument(
        "--device",
        action="append",
        choices=DEVICES,
        help="which devices it may open; repeat for several (v4l2: cameras of the machine itself)",
    )
    one.add_argument("--print", action="store_true", help="write nothing; print the unit")

    one = command("uninstall-service", "stop the service and remove it; settings and data stay")
    _service_options(one)
    return whole


def _identity_option(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--identity",
        type=Path,
        default=Path("identity"),
        metavar="DIR",
        help="where key and certificate lie (identity)",
    )


def _model_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--model", type=_text, default="default", help="a model's file, folder or name (the default model)"
    )
    parser.add_argument("--threads", type=_threads, default=1, metavar="N", help="of the runtime (1)")
    parser.add_argument(
        "--delegate",
        action="append",
        type=_text,
        metavar="D",
        help="xnnpack, none, or a library's path; repeat in order of preference",
    )
    parser.add_argument("--runtime", choices=("litert", "tflite-runtime"), help="instead of whichever is installed")


def _service_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--config", type=Path, default=Path(CONFIG), metavar="FILE", help=f"the agent's TOML file ({CONFIG})"
    )
    parser.add_argument(
        "--prefix", type=Path, default=Path("/"), metavar="DIR", help="the root of the system that it is for (/)"
    )


def _share(text: str) -> float:
    with contextlib.suppress(ValueError):
        if 0.0 <= float(text) <= 1.0:
            return float(text)
    raise argparse.ArgumentTypeError(f"{text!r} is not between 0 and 1")


def _moment(text: str) -> datetime:
    from agent.app.egress import moment

    with contextlib.suppress(ValueError, OverflowError):
        return moment(text, datetime.now(UTC))
    raise argparse.ArgumentTypeError(f"{text!r} is no time; write 2026-11-26, 2026-11-26T08:00, 90m, 24h or 7d")


def _mark(text: str) -> Mark:
    from agent.deliver.receipts import Mark

    number, _, digest = text.partition(":")
    if number.isdecimal() and re.fullmatch(r"[0-9a-f]{64}", digest):
        return Mark(int(number), digest)
    raise argparse.ArgumentTypeError("a mark is a number, a colon and 64 hexadecimal digits")


def _threads(text: str) -> int:
    from agent.detect.settings import DetectSettings

    with contextlib.suppress(ValueError):
        return DetectSettings(threads=int(text)).threads
    raise argparse.ArgumentTypeError(f"{text!r} is not a number from 1 to 16")


def _frames(text: str) -> int:
    with contextlib.suppress(ValueError):
        if int(text) >= FEWEST_FRAMES_A_TURN:
            return int(text)
    raise argparse.ArgumentTypeError(f"{text!r} is not a number from {FEWEST_FRAMES_A_TURN} up")


def _text(text: str) -> str:
    from agent.detect.settings import DetectSettings

    with contextlib.suppress(ValueError):
        return DetectSettings(model=text).model
    raise argparse.ArgumentTypeError("it is empty or far too long")


def _recorded(text: str) -> str:
    from agent.capture.settings import CameraSettings, SourceKind

    # A live camera's URL may hold a password, so it is not repeated.
    with contextlib.suppress(ValueError):
        if CameraSettings(name="source", source=text).kind is SourceKind.RECORDED:
            return text
    raise argparse.ArgumentTypeError("not recorded; name a video file or a folder of pictures")
