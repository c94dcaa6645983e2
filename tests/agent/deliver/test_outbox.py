from __future__ import annotations

import sqlite3
import subprocess
import sys
import textwrap
from datetime import timedelta
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from agent.deliver.faults import Faults
from agent.deliver.outbox import OutboxSettings
from agent.errors import OutboxUnwritable
from tests.agent.deliver.samples import ManualClock, boot, change, outbox
from wire.codec import decode, encode
from wire.messages import Alert, AlertEvent, AlertState


def ids(box, limit=1000):
    return [queued.message_id for queued in box.after(0, limit)]


def sequences(box):
    return [(alert.camera, alert.sequence) for alert in (decode(Alert, q.payload) for q in box.after(0, 1000))]


def test_recorded_alerts_wait_in_order_with_the_bytes_that_were_returned(tmp_path: Path):
    box = outbox(tmp_path / "outbox.db")
    alerts = box.record([change(1), change(2, "door"), change(3)])
    queued = box.after(0, 10)
    assert [q.payload for q in queued] == [encode(alert) for alert in alerts]
    assert sequences(box) == [("yard", 1), ("door", 1), ("yard", 2)]
    assert box.depth() == 3


def test_after_walks_on_from_a_row(tmp_path: Path):
    box = outbox(tmp_path / "outbox.db")
    box.record([change(n) for n in range(1, 6)])
    first = box.after(0, 2)
    assert [q.row for q in box.after(first[-1].row, 2)] == [3, 4]


def test_only_what_was_acked_is_forgotten_and_its_sequence_is_never_used_again(tmp_path: Path):
    box = outbox(tmp_path / "outbox.db")
    alerts = box.record([change(1), change(2)])
    assert box.forget([alerts[1].message_id, "f" * 32]) == 1
    assert box.forget([alerts[1].message_id]) == 0
    box.close()
    again = outbox(tmp_path / "outbox.db", boot=boot(2))
    assert again.record([change(3)])[0].sequence == 3
    assert sequences(again) == [("yard", 1), ("yard", 3)]
    assert again.depth() == 2


def test_a_wake_up_follows_each_commit(tmp_path: Path):
    box = outbox(tmp_path / "outbox.db")
    woken: list[int] = []
    box.call_when_recorded(lambda: woken.append(len(ids(box))))
    box.record([change(1)])
    box.record([])
    assert woken == [1]


def test_open_alerts_come_back_after_a_restart_at_times_of_the_new_boot(tmp_path: Path):
    box = outbox(tmp_path / "outbox.db")
    box.record([change(1, wants_picture=True), change(2)])
    box.record([change(1, event=AlertEvent.UPDATE, revision=1, state=AlertState.CONFIRMED, wants_picture=True)])
    box.close()
    later = ManualClock(monotonic=3.0)
    later.set_wall(later.wall() + timedelta(seconds=100))
    restored = outbox(tmp_path / "outbox.db", clock=later).records()
    assert [(c.id, c.revision, c.state) for c in restored] == [
        (f"{2:032x}", 0, AlertState.PROVISIONAL),
        (f"{1:032x}", 1, AlertState.CONFIRMED),
    ]
    assert restored[0].last_at == pytest.approx(3.0 - 101.0)
    assert restored[1].wants_picture


def test_an_alert_that_ended_stays_ended_when_a_late_answer_amends_it(tmp_path: Path):
    box = outbox(tmp_path / "outbox.db")
    box.record([change(1), change(1, event=AlertEvent.END, revision=1)])
    box.record([change(1, event=AlertEvent.UPDATE, revision=2, state=AlertState.RETRACTED)])
    [restored] = box.records()
    assert (restored.event, restored.revision, restored.state) == (AlertEvent.END, 2, AlertState.RETRACTED)


def test_ended_alerts_are_forgotten_after_a_while_and_open_ones_are_not(tmp_path: Path):
    box = outbox(tmp_path / "outbox.db")
    box.record([change(1), change(2), change(2, event=AlertEvent.END, revision=1)])
    box.close()
    later = ManualClock()
    later.advance(2 * 86_400)
    assert [c.id for c in outbox(tmp_path / "outbox.db", clock=later).records()] == [f"{1:032x}"]


def test_a_full_outbox_drops_the_oldest_and_says_so(tmp_path: Path):
    box = outbox(tmp_path / "outbox.db", settings=OutboxSettings(max_messages=3))
    box.record([change(n) for n in range(1, 3)])
    box.record([change(n) for n in range(3, 6)])
    assert sequences(box) == [("yard", 3), ("yard", 4), ("yard", 5)]
    assert (box.depth(), box.dropped()) == (3, 2)


def test_with_little_disk_left_the_outbox_stops_growing(tmp_path: Path):
    free = [1 << 50]
    box = outbox(tmp_path / "outbox.db", free_bytes=lambda _: free[0])
    box.record([change(n) for n in range(1, 4)])
    free[0] = 1024
    box.record([change(4)])
    assert sequences(box) == [("yard", 2), ("yard", 3), ("yard", 4)]
    assert box.dropped() == 1


def test_a_change_that_breaks_the_contract_is_counted_and_uses_no_sequence(tmp_path: Path):
    faults = Faults()
    box = outbox(tmp_path / "outbox.db", faults=faults)
    alerts = box.record([change(1), change(2, label=""), change(3)])
    assert [a.sequence for a in alerts] == [1, 2]
    assert (faults.counts(), box.dropped()) == ({"MessageInvalid": 1}, 1)


def limit_pages(box, pages):
    """Have SQLite report a full disk: it then refuses to grow the file."""
    box._file._db.execute(f"PRAGMA max_page_count = {pages}")


def test_a_full_disk_holds_changes_in_memory_and_keeps_their_order(tmp_path: Path):
    faults = Faults()
    box = outbox(tmp_path / "outbox.db", faults=faults)
    box.record([change(1)])
    limit_pages(box, 1)
    lost_room = [change(n, reason="x" * 400) for n in range(2, 40)]
    assert box.record(lost_room) == []
    assert faults.counts() == {"OutboxUnwritable": 1}
    assert (box.held(), box.depth(), len(ids(box))) == (38, 1, 1)
    limit_pages(box, 100_000)
    alerts = box.record([change(40)])
    assert [a.id for a in alerts] == [f"{n:032x}" for n in range(2, 41)]
    assert [a.sequence for a in alerts] == list(range(2, 41))
    assert (box.held(), box.dropped()) == (0, 0)


def test_what_is_held_is_bounded(tmp_path: Path):
    (tmp_path / "folder").write_text("a file where the folder should be")
    faults = Faults()
    box = outbox(tmp_path / "folder" / "outbox.db", settings=OutboxSettings(max_held=2), faults=faults)
    for number in range(1, 5):
        box.record([change(number)])
    assert (box.held(), box.dropped()) == (2, 2)
    (tmp_path / "folder").unlink()
    assert [a.id for a in box.flush()] == [f"{3:032x}", f"{4:032x}"]


def test_a_batch_of_any_size_is_committed_whole_while_the_disk_takes_it(tmp_path: Path):
    box = outbox(tmp_path / "outbox.db", settings=OutboxSettings(max_held=2))
    assert len(box.record([change(n) for n in range(1, 10)])) == 9
    assert (box.depth(), box.dropped()) == (9, 0)


def test_an_outbox_that_cannot_be_opened_says_so(tmp_path: Path):
    (tmp_path / "outbox.db").mkdir()
    with pytest.raises(OutboxUnwritable, match=r"outbox\.db"):
        outbox(tmp_path / "outbox.db").open()


@pytest.mark.skipif(sys.platform != "linux", reason="needs /dev/full-like limits of Linux")
def test_a_disk_that_really_refuses_loses_nothing(tmp_path: Path):
    """RLIMIT_FSIZE makes the kernel refuse writes beyond a size, as a full disk does."""
    program = """
        import resource, signal, sys
        from pathlib import Path
        from agent.deliver.faults import Faults
        from tests.agent.deliver.samples import change, outbox
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        faults = Faults()
        box = outbox(Path(sys.argv[1]), faults=faults)
        box.record([change(1)])
        soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
        resource.setrlimit(resource.RLIMIT_FSIZE, (64 * 1024, hard))
        for n in range(2, 400):
            box.record([change(n)])
        assert box.held() and faults.counts()["OutboxUnwritable"] >= 1, (box.held(), faults.counts())
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
        box.flush()
        print(box.depth(), box.held(), [q.row for q in box.after(0, 1000)] == list(range(1, 400)))
    """
    done = run_python(program, tmp_path / "outbox.db")
    assert done.stdout.split() == ["399", "0", "True"], done.stderr


def test_kill_9_at_any_moment_loses_nothing_that_was_committed(tmp_path: Path):
    program = """
        import sys
        from pathlib import Path
        from tests.agent.deliver.samples import change, outbox
        box = outbox(Path(sys.argv[1]))
        number = 0
        while True:
            number += 1
            for alert in box.record([change(number)]):
                print(alert.sequence, flush=True)
    """
    with start_python(program, tmp_path / "outbox.db") as writer:
        assert writer.stdout is not None
        said = [int(next(writer.stdout)) for _ in range(50)]
        writer.kill()
        said += [int(line) for line in writer.stdout.read().split("\n") if line]
    box = outbox(tmp_path / "outbox.db", boot=boot(2))
    kept = [sequence for _, sequence in sequences_of_all(box)]
    assert kept == list(range(1, len(kept) + 1))
    assert len(kept) >= said[-1]
    assert box.record([change(9999)])[0].sequence == len(kept) + 1


def sequences_of_all(box):
    return [(a.camera, a.sequence) for a in (decode(Alert, q.payload) for q in box.after(0, 1_000_000))]


def start_python(program: str, *arguments: Path) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(program), *map(str, arguments)],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=Path(__file__).parents[3],
    )  # fmt: skip


def run_python(program: str, *arguments: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", textwrap.dedent(program), *map(str, arguments)],
        capture_output=True, text=True, timeout=60, check=False, cwd=Path(__file__).parents[3],
    )  # fmt: skip


def damage(path: Path) -> None:
    """Overwrite everything after the first page's header with rubbish."""
    size = path.stat().st_size
    with path.open("r+b") as file:
        file.seek(100)
        file.write(b"\xa5" * (size - 100))


@pytest.mark.parametrize("content", [b"this is no database" * 100, b"SQLite format 3\x00" + b"\xff" * 4000])
def test_a_file_that_is_no_database_is_set_aside(tmp_path: Path, content: bytes):
    path = tmp_path / "outbox.db"
    path.write_bytes(content)
    faults = Faults()
    box = outbox(path, faults=faults)
    assert [a.sequence for a in box.record([change(1)])] == [1]
    assert faults.counts() == {"OutboxCorrupt": 1}
    assert (tmp_path / "outbox.db.corrupt-1").read_bytes() == content
    assert box.depth() == 1


def test_damage_found_at_the_start_is_set_aside(tmp_path: Path):
    path = tmp_path / "outbox.db"
    box = outbox(path)
    box.record([change(n) for n in range(1, 50)])
    box.close()
    damage(path)
    again = outbox(path, boot=boot(2))
    assert [a.sequence for a in again.record([change(1)])] == [1]
    assert (tmp_path / "outbox.db.corrupt-1").exists()


def test_damage_under_a_running_agent_costs_what_waited_but_no_number(tmp_path: Path):
    path = tmp_path / "outbox.db"
    faults = Faults()
    box = outbox(path, faults=faults)
    box.record([change(n) for n in range(1, 50)])
    box._file._db.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    last = box.after(0, 1000)[-1].row
    damage(path)
    box._file._db.execute("PRAGMA shrink_memory")
    [alert] = box.record([change(50)])
    assert alert.sequence == 50
    assert [q.row for q in box.after(last, 10)] == [last + 1]
    assert (box.depth(), box.dropped(), faults.counts()["OutboxCorrupt"]) == (1, 49, 1)


def test_damaged_files_do_not_pile_up(tmp_path: Path):
    path = tmp_path / "outbox.db"
    for _ in range(8):
        path.write_bytes(b"rubbish" * 1000)
        box = outbox(path)
        box.open()
        box.close()
    assert sorted(p.name for p in tmp_path.glob("*.corrupt-*")) == [f"outbox.db.corrupt-{n}" for n in range(4, 9)]


def test_space_goes_back_to_the_disk(tmp_path: Path):
    path = tmp_path / "outbox.db"
    box = outbox(path)
    for start in range(0, 10_000, 1_000):
        box.record([change(start + n, reason="x" * 400) for n in range(1, 1_001)])
    full = path.stat().st_size
    while waiting := ids(box, 500):
        box.forget(waiting)
    box.close()
    with sqlite3.connect(path) as db:
        free = db.execute("PRAGMA freelist_count").fetchone()[0]
    assert path.stat().st_size < full - 3_000_000
    assert free <= 2048


actions = st.lists(
    st.one_of(
        st.tuples(st.just("record"), st.lists(st.sampled_from(["yard", "door"]), max_size=4)),
        st.tuples(st.just("ack"), st.lists(st.integers(0, 30), max_size=5)),
        st.tuples(st.just("restart"), st.none()),
    ),
    max_size=12,
)


@given(actions)
@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_model_nothing_leaves_but_by_an_ack_and_no_number_is_skipped(tmp_path_factory, steps):
    path = tmp_path_factory.mktemp("outbox") / "outbox.db"
    box = outbox(path)
    counted: dict[str, int] = {}
    expected: list[str] = []
    number = 0
    for step, argument in steps:
        if step == "record":
            for alert in box.record([change(number := number + 1, camera) for camera in argument]):
                counted[alert.camera] = counted.get(alert.camera, 0) + 1
                assert alert.sequence == counted[alert.camera]
                expected.append(alert.message_id)
        elif step == "ack":
            acked = {expected[place] for place in argument if place < len(expected)}
            assert box.forget(acked) == len(acked)
            expected = [message_id for message_id in expected if message_id not in acked]
        else:
            box.close()
            box = outbox(path)
        assert ids(box) == expected
        assert box.depth() == len(expected)
    box.close()
