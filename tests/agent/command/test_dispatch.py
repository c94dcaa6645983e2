"""The decisions without a desk: admission, time and what a crash leaves, over any sequence of events."""

from __future__ import annotations

import contextlib
from datetime import timedelta

from hypothesis import given
from hypothesis import strategies as st

from agent.command.arguments import ARGUMENTS, read_arguments
from agent.command.cloud_time import CloudTime, Timing
from agent.command.dispatch import Accept, Refuse, Repeat, Stage, admit, after_restart
from agent.command.errors import CommandRefused
from agent.command.log_tail import tail_within
from wire.commands import CommandName, Outcome
from wire.log_lines import without_secrets

from .rig import CLOUD, command

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=8,
)
NAMES = st.sampled_from([*CommandName, "nonsense"])
ARGS = st.dictionaries(
    st.sampled_from(["camera", "for_s", "rule", "toml", "config", "reset", "level", "quality"]) | st.text(max_size=8),
    JSON,
    max_size=4,
)


@given(NAMES, ARGS, st.sampled_from([None, *Stage]), st.integers(0, 100))
def test_any_command_is_repeated_refused_in_words_or_accepted(name, arguments, stage, waiting):
    decided = admit(command(name, arguments=arguments), stage, waiting)
    if stage is not None:
        assert isinstance(decided, Repeat)
    elif isinstance(decided, Refuse):
        assert decided.reason
    else:
        assert isinstance(decided, Accept)
        assert waiting < 32
        assert isinstance(decided.arguments, ARGUMENTS[name])


@given(NAMES, ARGS)
def test_arguments_are_read_or_refused_and_nothing_else(name, arguments):
    with contextlib.suppress(CommandRefused):
        assert isinstance(read_arguments(name, arguments), ARGUMENTS[name])


@given(st.sampled_from(list(CommandName)), st.sampled_from([Stage.ACCEPTED, Stage.BEGUN]))
def test_only_a_restart_that_was_begun_succeeds_by_a_restart(name, stage):
    outcome, _ = after_restart(name, stage)
    assert (outcome is Outcome.OK) == (name is CommandName.RESTART and stage is Stage.BEGUN)


@given(
    st.lists(
        st.tuples(st.floats(0, 3600), st.floats(0, 600), st.floats(0, 600), st.booleans()),
        min_size=1,
        max_size=8,
    ),
    st.floats(-7200, 7200),
)
def test_no_command_is_in_time_after_its_time(exchanges, expires_in):
    """The cloud's true clock runs beside the device's; exchanges take any time either way, messages come late."""
    time, now = CloudTime(), 0.0

    def true(at):
        return CLOUD + timedelta(seconds=at)

    for pause, up, down, proves in exchanges:
        now += pause
        sent_at, made_at = now, true(now + up)
        now += up + down
        if proves:
            time.proved(made_at, sent_at, now)
        else:
            time.heard(made_at)
        expires_at = true(now + expires_in)
        timing = time.timing(expires_at, now)
        # Floats of seconds since 1970 resolve a quarter of a microsecond, datetimes one.
        if timing is Timing.IN_TIME:
            assert expires_in > -1e-3
        if timing is Timing.EXPIRED:
            assert expires_in < 600 + 600 + 1e-3


@given(st.floats(-1e9, 1e9), st.floats(-7200, 7200))
def test_an_exchange_proves_the_time_to_its_own_length(offset, expires_in):
    time = CloudTime()
    time.proved(CLOUD, sent_at=offset, now=offset + 0.2)
    timing = time.timing(CLOUD + timedelta(seconds=expires_in), offset + 10.2)
    if expires_in > 10.3:
        assert timing is Timing.IN_TIME
    if expires_in < 10.1:
        assert timing is Timing.EXPIRED


def test_secrets_do_not_leave_in_the_log():
    line = "opening rtsp://admin:hunter2@10.0.0.3/live with vdt_abc-DEF_1 and Authorization: Bearer abc.def"
    shown = without_secrets(line)
    assert "rtsp://admin:…@10.0.0.3/live" in shown
    for secret in ("hunter2", "abc-DEF_1", "abc.def"):
        assert secret not in shown


@given(st.lists(st.text(max_size=30)), st.integers(-5, 300))
def test_the_tail_is_the_latest_that_fits(lines, room):
    kept = tail_within(lines, room)
    assert kept == lines[len(lines) - len(kept) :]
    assert sum(len(line.encode()) + 2 for line in kept) <= max(room, 0)
