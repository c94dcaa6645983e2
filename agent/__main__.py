"""The command line of a device: `vedette-agent COMMAND`; `--help` lists them.

Exit codes: 0 done; 1 something failed, the message says what and what to do; 2 the command line is wrong;
3 `egress --verify` found its log tampered with;
75 a `restart` command ended `run`, start it again; 78 the configuration is wrong (EX_CONFIG); 130 interrupted.

Each command imports what it needs once it is chosen: OpenCV, numpy and pydantic's types take a second on a small
device, which `--help`, `--version` and a mistyped option need not wait for.
"""

from __future__ import annotations

import argparse
import json
import logging
import os
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Final

from agent.command_line import Command, argument_parser
from agent.errors import ConfigInvalid, OutputUnwritable
from agent.supervise.unit import UNIT
from wire.errors import VedetteError

if TYPE_CHECKING:
    from agent.detect.settings import DetectSettings

NO_CLAIM: Final = "none"
EX_FAILED: Final = 1
EX_TAMPERED: Final = 3
EX_CONFIG: Final = 78
EX_INTERRUPTED: Final = 130


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command; its exit code.

    Raises:
        SystemExit: Help was asked for, or what was typed is no command.
    """
    try:
        return _do(arguments)
    except ConfigInvalid as refused:
        sys.stderr.write(f"{refused.name}: {refused}\n")
        return EX_CONFIG
    except VedetteError as failed:
        sys.stderr.write(f"{failed.name}: {failed}\n")
        _let_go_of_output()
        return EX_FAILED
    except BrokenPipeError:
        # Whoever read our output went away, as `head` does; not worth a word.
        _let_go_of_output()
        return EX_FAILED
    except KeyboardInterrupt:
        return EX_INTERRUPTED


def _do(arguments: Sequence[str] | None) -> int:
    # Flushed here, where output that is refused is still an error that can be caught.
    try:
        # Where its help can't be written, argparse raises or passes over it, from one Python to the next.
        with _refused_by_name():
            chosen = argument_parser(COMMANDS).parse_args(arguments)
    except SystemExit as ended:
        if not ended.code:
            _print("")
            _flush()
        raise
    command: Command = chosen.command
    code = command(chosen)
    _flush()
    return code


def _print(text: str) -> None:
    with _refused_by_name():
        sys.stdout.write(text)


def _flush() -> None:
    with _refused_by_name():
        sys.stdout.flush()


@contextmanager
def _refused_by_name() -> Iterator[None]:
    try:
        yield
    except BrokenPipeError:
        raise
    except OSError as refused:
        raise OutputUnwritable(
            f"the standard output can't be written: {refused.strerror}",
            "Make room where it goes, or let it go elsewhere.",
        ) from None


def _let_go_of_output() -> None:
    """What can't be flushed goes nowhere: at the end it would fail again, with an exit code of Python's own."""
    try:
        sys.stdout.flush()
    except OSError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


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
        _print(json.dumps(report.for_programs()) + "\n")
    else:
        _print(report.for_people())
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
        _print(json.dumps(result.for_programs()) + "\n")
        return 0
    stages = ", ".join(f"{name} {spent:.0f}" for name, spent in result.stages_us.items())
    _print(
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
        _print(json.dumps(found.for_programs()) + "\n")
    elif chosen.verify:
        _print("\n".join([*found.verdict(), ""]))
    else:
        _print(found.for_people())
    held_to_something = chosen.verify or chosen.mark is not None
    return EX_TAMPERED if held_to_something and not found.whole else 0


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
        _print(f"{enrolled.device}: certificate good until {enrolled.expires_at:%Y-%m-%d %H:%M} UTC\n")
        return 0
    # Not as an argument: whoever lists this machine's processes would read the secret.
    if sys.stdin.isatty():
        sys.stderr.write("Paste the claim, then press Enter: ")
    enrolled = enroll(sys.stdin.readline(longest), folder, _now)
    _print(
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
    _print(f"{enrolled.device}: certificate good until {enrolled.expires_at:%Y-%m-%d %H:%M} UTC\n")
    return 0


def _now() -> datetime:
    return datetime.now(UTC)


def _install_service(chosen: argparse.Namespace) -> int:
    from agent.app.service import Service, install, unit_text

    service = Service(chosen.config, chosen.user, tuple(chosen.device or ("v4l2",)), chosen.prefix.absolute())
    if chosen.print:
        _print(unit_text(service))
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
    _print(f"{line}\n")


def _model(chosen: argparse.Namespace) -> DetectSettings:
    from agent.detect.settings import DetectSettings

    values: dict[str, object] = {"model": chosen.model, "threads": chosen.threads}
    if chosen.delegate:
        values["delegates"] = tuple(chosen.delegate)
    if chosen.runtime:
        values["runtimes"] = (chosen.runtime,)
    return DetectSettings.model_validate(values)


COMMANDS: Final[dict[str, Command]] = {
    "run": _run,
    "check": _check,
    "enroll": _enroll,
    "renew": _renew,
    "detect": _detect,
    "bench": _bench,
    "egress": _egress,
    "install-service": _install_service,
    "uninstall-service": _uninstall_service,
}


if __name__ == "__main__":
    logging.captureWarnings(capture=True)
    sys.exit(main())
