"""The command line of a device: `vedette-agent COMMAND`; `--help` lists them.

Exit codes: 0 done; 1 something failed, the message says what and what to do; 2 the command line is wrong;
3 `egress --verify` found its log tampered with;
75 a `restart` command ended `run`, start it again; 78 the configuration is wrong (EX_CONFIG); 130 interrupted.

Each command imports what it needs once it is chosen: OpenCV, numpy and pydantic's types take a second on a small
device, which `--help`, `--version` and a mistyped option need not wait for.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import logging
import os
import re
import sys
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Final

from agent.app.turns import FEWEST_FRAMES_A_TURN, FRAMES_A_TURN
from agent.errors import ConfigInvalid
from agent.supervise.unit import CONFIG, DEVICES, UNIT
from wire.errors import VedetteError

if TYPE_CHECKING:
    from agent.deliver.receipts import Mark
    from agent.detect.settings import DetectSettings

NO_CLAIM: Final = "none"
EX_FAILED: Final = 1
EX_TAMPERED: Final = 3
EX_CONFIG: Final = 78
EX_INTERRUPTED: Final = 130

EPILOG: Final = """\
exit codes: 0 done, 1 failed (the message says what to do), 2 wrong command line, 3 the egress log was tampered with,
75 start it again (a command asked for it), 78 wrong configuration, 130 interrupted
"""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command; its exit code."""
    chosen = _parser().parse_args(arguments)
    command: Callable[[argparse.Namespace], int] = chosen.command
    try:
        code = command(chosen)
        # Here, where a reader that went away is still an error that can be caught.
        sys.stdout.flush()
    except ConfigInvalid as refused:
        sys.stderr.write(f"{refused.name}: {refused}\n")
        return EX_CONFIG
    except VedetteError as failed:
        sys.stderr.write(f"{failed.name}: {failed}\n")
        return EX_FAILED
    except BrokenPipeError:
        # Whoever read our output went away, as `head` does; not worth a word. What is left to flush goes nowhere.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return EX_FAILED
    except KeyboardInterrupt:
        return EX_INTERRUPTED
    else:
        return code


def _run(chosen: argparse.Namespace) -> int:
    import asyncio
    import faulthandler

    from agent.adapters.sd_notify import supervisor
    from agent.app.logs import begin_logging
    from agent.app.overrides import load_overridden
    from agent.app.run import run

    manager = supervisor(os.environ, os.getpid())
    try:
        config = load_overridden(chosen.config)
        begin_logging(chosen.log_level or config.log_level, config.log_format)
        if not faulthandler.is_enabled():
            # A watchdog ends the process by SIGABRT; the log then says where each thread stood.
            faulthandler.enable()
        return asyncio.run(run(chosen.config, config, version("vedette"), manager, until_end=chosen.until_end))
    except VedetteError as failed:
        manager.status(f"{failed.name}: {failed}")
        raise


def _check(chosen: argparse.Namespace) -> int:
    from agent.app.check import check
    from agent.config import load_config

    report = check(load_config(chosen.config), settings_only=chosen.settings_only)
    if chosen.json:
        sys.stdout.write(json.dumps(report.for_programs()) + "\n")
    else:
        sys.stdout.write(report.for_people())
    return 0 if report.fit else EX_FAILED


def _detect(chosen: argparse.Namespace) -> int:
    from agent.app.detect import detect
    from agent.app.progress import Line

    line = Line()
    try:
        done = detect(chosen.source, _model(chosen), chosen.jsonl, chosen.min_score, line.show)
    finally:
        line.clear()
    counts = f"{done.frames} frames, {done.detections} detections in {done.seconds:.1f} s"
    sys.stderr.write(f"{counts} with {done.model} ({done.runtime})\n")
    return 0


def _bench(chosen: argparse.Namespace) -> int:
    from agent.app.bench import bench
    from agent.app.progress import Line

    line = Line()
    try:
        result = bench(chosen.source, _model(chosen), line.show, frames_a_turn=chosen.frames)
    finally:
        line.clear()
    if chosen.json:
        sys.stdout.write(json.dumps(result.for_programs()) + "\n")
        return 0
    stages = ", ".join(f"{name} {spent:.0f}" for name, spent in result.stages_us.items())
    sys.stdout.write(
        f"pipeline     {result.pipeline_fps:8.1f} frames/s\n"
        f"bare loop    {result.bare_fps:8.1f} frames/s (decode + resize + invoke)\n"
        f"ratio        {result.ratio:8.3f}\n"
        f"memory       {result.rss_mib:8.1f} MiB\n"
        f"first frame  {result.first_frame_s:8.2f} s\n"
        f"µs a frame   {stages}\n"
        f"model        {result.model}\n"
        f"source       {result.source}\n"
    )
    return 0


def _egress(chosen: argparse.Namespace) -> int:
    from agent.app.egress import egress
    from agent.config import load_config

    data_dir = chosen.data_dir or load_config(chosen.config).data_dir
    found = egress(data_dir, since=chosen.since, by=chosen.by, witness=chosen.mark)
    if chosen.json:
        sys.stdout.write(json.dumps(found.for_programs()) + "\n")
    elif chosen.verify:
        sys.stdout.write("\n".join([*found.verdict(), ""]))
    else:
        sys.stdout.write(found.for_people())
    return EX_TAMPERED if chosen.verify and not found.whole else 0


def _enroll(chosen: argparse.Namespace) -> int:
    from agent.adapters.identity_folder import IdentityFolder
    from agent.app.enrol import enroll, enroll_once
    from wire.identity import MAX_CLAIM_CHARACTERS

    longest = 2 * MAX_CLAIM_CHARACTERS
    folder = IdentityFolder(chosen.identity)
    if chosen.claim is not None:
        enrolled, failed = enroll_once(_claim_in(chosen.claim, longest), folder, _now)
        if failed is not None:
            sys.stderr.write(f"the new claim was not redeemed, and {enrolled.device} stays what it is: {failed}\n")
        sys.stdout.write(f"{enrolled.device}: certificate good until {enrolled.expires_at:%Y-%m-%d %H:%M} UTC\n")
        return 0
    # Not as an argument: whoever lists this machine's processes would read the secret.
    if sys.stdin.isatty():
        sys.stderr.write("Paste the claim, then press Enter: ")
    enrolled = enroll(sys.stdin.readline(longest), folder, _now)
    sys.stdout.write(
        f"{enrolled.device} is enrolled with {enrolled.http}; its certificate is good until"
        f" {enrolled.expires_at:%Y-%m-%d %H:%M} UTC, and renewed by itself before.\n"
        f'In the agent\'s configuration: identity = "{chosen.identity}"\n'
    )
    return 0


def _claim_in(file: Path, longest: int) -> str:
    try:
        with file.open("r", encoding="ascii") as said:
            word = said.read(longest)
    except FileNotFoundError:
        return ""
    except (OSError, ValueError) as refused:
        raise ConfigInvalid(f"the claim in {file} can't be read: {refused}", "Correct its rights.") from None
    # systemd hands over this word where there is no claim: it can't hand over nothing.
    return "" if word.strip() == NO_CLAIM else word


def _renew(chosen: argparse.Namespace) -> int:
    from agent.adapters.identity_folder import IdentityFolder
    from agent.app.enrol import renew

    enrolled = renew(IdentityFolder(chosen.identity), _now)
    sys.stdout.write(f"{enrolled.device}: certificate good until {enrolled.expires_at:%Y-%m-%d %H:%M} UTC\n")
    return 0


def _now() -> datetime:
    return datetime.now(UTC)


def _install_service(chosen: argparse.Namespace) -> int:
    from agent.app.service import Service, install, unit_text

    service = Service(chosen.config, chosen.user, tuple(chosen.device or ("v4l2",)), chosen.prefix.absolute())
    if chosen.print:
        sys.stdout.write(unit_text(service))
        return 0
    install(service, _say)
    _say(f"next: fill {service.config}, put the token into {service.config.parent / 'token'} (chmod 600), and")
    _say(f"systemctl enable --now {UNIT}")
    return 0


def _uninstall_service(chosen: argparse.Namespace) -> int:
    from agent.app.service import Service, uninstall

    uninstall(Service(chosen.config, prefix=chosen.prefix.absolute()), _say)
    return 0


def _say(line: str) -> None:
    sys.stdout.write(f"{line}\n")


def _model(chosen: argparse.Namespace) -> DetectSettings:
    from agent.detect.settings import DetectSettings

    values: dict[str, object] = {"model": chosen.model, "threads": chosen.threads}
    if chosen.delegate:
        values["delegates"] = tuple(chosen.delegate)
    if chosen.runtime:
        values["runtimes"] = (chosen.runtime,)
    return DetectSettings.model_validate(values)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="vedette-agent",
        description="Watches cameras with a small detector, raises alerts over MQTT, asks the cloud when unsure.",
        epilog=EPILOG,
    )
    parser.add_argument("--version", action="version", version=f"vedette {version('vedette')}")
    commands = parser.add_subparsers(title="commands", required=True, metavar="COMMAND")

    one = _command(
        commands, "run", _run, "watch, as the configuration says; SIGTERM ends it cleanly, SIGHUP reloads rules"
    )
    one.add_argument("--config", type=Path, required=True, metavar="FILE", help="the agent's TOML file")
    one.add_argument("--until-end", action="store_true", help="end when every recorded source is over")
    one.add_argument("--log-level", choices=("debug", "info", "warning", "error"), help="overrides the configuration")

    one = _command(commands, "check", _check, "say what is wrong with a configuration, its model and its sources")
    one.add_argument("--config", type=Path, required=True, metavar="FILE", help="the agent's TOML file")
    one.add_argument("--settings-only", action="store_true", help="open nothing, as before a reload")
    one.add_argument("--json", action="store_true", help="for programs")

    one = _command(
        commands,
        "enroll",
        _enroll,
        "get this device its certificate: reads the claim that `vedette device enroll` printed from standard input",
    )
    _identity_option(one)
    one.add_argument(
        "--claim",
        type=Path,
        metavar="FILE",
        help="take the claim from there, once: harmless at each start, with no FILE, and without a network",
    )

    one = _command(commands, "renew", _renew, "get the next certificate now; `run` does so by itself in time")
    _identity_option(one)

    one = _command(commands, "detect", _detect, "run the detector alone over a video or a folder of pictures")
    one.add_argument("--source", required=True, type=_recorded, help="a video file or a folder of pictures")
    one.add_argument("--jsonl", type=Path, metavar="OUT", help="where the lines go (standard output)")
    one.add_argument("--min-score", type=_share, default=0.05, metavar="S", help="leave out lower scores (0.05)")
    _model_options(one)

    one = _command(commands, "bench", _bench, "measure this device's speed against the bare runtime in the same run")
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

    one = _command(commands, "egress", _egress, "say what left this device, and hold its log to its chain")
    where = one.add_mutually_exclusive_group(required=True)
    where.add_argument("--config", type=Path, metavar="FILE", help="the agent's TOML file; it names the data folder")
    where.add_argument("--data-dir", type=Path, metavar="DIR", help="the data folder itself")
    one.add_argument("--since", type=_moment, metavar="WHEN", help="a date or time, or how long ago: 90m, 24h, 7d")
    one.add_argument(
        "--by", choices=("reason", "camera", "day", "host"), default="reason", help="how sums are grouped (reason)"
    )
    one.add_argument("--verify", action="store_true", help="only say whether the log is whole; 3 where it is not")
    one.add_argument("--mark", type=_mark, metavar="N:HASH", help="a mark that the cloud kept: the log must hold it")
    one.add_argument("--json", action="store_true", help="for programs")

    one = _command(commands, "install-service", _install_service, "make the agent a systemd service of this machine")
    _service_options(one)
    one.add_argument("--user", metavar="NAME", help="who runs it (a user that systemd makes for the time it runs)")
    one.add_argument(
        "--device",
        action="append",
        choices=DEVICES,
        help="which devices it may open; repeat for several (v4l2: cameras of the machine itself)",
    )
    one.add_argument("--print", action="store_true", help="write nothing; print the unit")

    one = _command(
        commands, "uninstall-service", _uninstall_service, "stop the service and remove it; settings and data stay"
    )
    _service_options(one)
    return parser


def _command(
    commands: argparse._SubParsersAction[argparse.ArgumentParser],
    name: str,
    command: Callable[[argparse.Namespace], int],
    what: str,
) -> argparse.ArgumentParser:
    parser = commands.add_parser(name, help=what, description=f"{what[0].upper()}{what[1:]}.", epilog=EPILOG)
    parser.set_defaults(command=command)
    return parser


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
        return moment(text, _now())
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


if __name__ == "__main__":
    logging.captureWarnings(capture=True)
    sys.exit(main())
