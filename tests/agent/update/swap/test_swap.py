from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.adapters.memory_left import memory_left_mib, oom_kills
from agent.update.swap import MARGIN_MIB, MIB, UNPROVEN_MIB, GroupMemory, Swap, available_mib, groups_of, manner

MEMINFO = "MemTotal:         948280 kB\nMemFree:           61440 kB\nMemAvailable:     307200 kB\n"
NO_LIMIT_V1 = "9223372036854771712\n"
MEBIBYTES = st.none() | st.floats(0, 1e6)


def group(limit: str, used: int = 0, idle: int = 0) -> GroupMemory:
    return GroupMemory(f"{limit}\n", f"{used * MIB}\n", f"anon 12345\ninactive_file {idle * MIB}\nactive_file 99\n")


# --- the decision ---


@given(MEBIBYTES, MEBIBYTES)
def test_what_is_set_is_done_whatever_there_is(available: float | None, needed: float | None) -> None:
    assert manner(Swap.IN_PLACE, available, needed).in_place
    assert not manner(Swap.BESIDE, available, needed).in_place


@given(st.floats(0, 1e6), st.floats(0, 1e6))
def test_auto_holds_what_there_is_against_the_need_and_a_margin(available: float, needed: float) -> None:
    assert manner(Swap.AUTO, available, needed).in_place == (available < needed + MARGIN_MIB)


@given(st.floats(0, 1e6), st.floats(0, 1e6), st.floats(0, 1e6))
def test_more_memory_never_makes_it_swap_in_place(available: float, more: float, needed: float) -> None:
    if not manner(Swap.AUTO, available, needed).in_place:
        assert not manner(Swap.AUTO, available + more, needed).in_place


def test_auto_without_figures() -> None:
    assert manner(Swap.AUTO, None, 100.0).why == "the system does not tell how much memory is available"
    assert not manner(Swap.AUTO, None, 100.0).in_place
    assert not manner(Swap.AUTO, UNPROVEN_MIB + MARGIN_MIB, None).in_place
    assert manner(Swap.AUTO, UNPROVEN_MIB, None).in_place


def test_it_says_why() -> None:
    assert manner(Swap.AUTO, 43.2, 90.0).why == "43 MiB are available where a second model may take 122 MiB"
    assert manner(Swap.IN_PLACE, 43.2, 90.0).why == 'updates.swap is "in-place"'


# --- what the kernel's files say ---


@pytest.mark.parametrize(
    ("groups", "available"),
    [
        ([], 300.0),
        ([group("max", 100)], 300.0),
        ([group(str(150 * MIB), 100)], 50.0),
        ([group(str(150 * MIB), 100, idle=20)], 70.0),
        ([group(str(150 * MIB), 100), group(str(120 * MIB), 110)], 10.0),
        ([group(str(150 * MIB), 160)], 0.0),
        ([group(str(4096 * MIB), 100)], 300.0),
        ([GroupMemory(NO_LIMIT_V1, f"{100 * MIB}\n", "")], 300.0),
        (
            [GroupMemory(f"{150 * MIB}\n", f"{100 * MIB}\n", f"inactive_file 1\ntotal_inactive_file {5 * MIB}\n")],
            55.0,
        ),
        ([GroupMemory(f"{150 * MIB}\n", "", "")], 300.0),
        ([GroupMemory(f"{150 * MIB}\n", f"{100 * MIB}\n", "inactive_file\n\ninactive_file much\n")], 50.0),
    ],
)
def test_the_narrowest_bound_counts(groups: list[GroupMemory], available: float) -> None:
    assert available_mib(MEMINFO, groups) == available


def test_nothing_known() -> None:
    assert available_mib("", []) is None
    assert available_mib("MemAvailable:\nMemAvailable: lots kB\n", [group("max")]) is None
    assert available_mib("", [group(str(150 * MIB), 100)]) == 50.0


@given(st.text(), st.lists(st.builds(GroupMemory, st.text(), st.text(), st.text())))
def test_no_text_breaks_it(meminfo: str, groups: list[GroupMemory]) -> None:
    found = available_mib(meminfo, groups)
    assert found is None or found >= 0


@given(st.integers(0, 10**9), st.integers(0, 2**50), st.integers(0, 2**50), st.integers(0, 2**50))
def test_a_group_only_ever_narrows_it(kib: int, limit: int, used: int, idle: int) -> None:
    within = GroupMemory(str(limit), str(used), f"inactive_file {idle}")
    found = available_mib(f"MemAvailable: {kib} kB", [within])
    assert found is not None
    assert 0 <= found <= kib / 1024
    assert found <= limit / MIB


def test_the_groups_of_a_process() -> None:
    assert groups_of("0::/system.slice/vedette-agent.service\n") == ("/system.slice/vedette-agent.service", None)
    assert groups_of("5:cpu,memory:/docker/abc\n1:name=systemd:/x\n0::/\n") == ("/", "/docker/abc")
    assert groups_of("4:memory:/a:b\n") == (None, "/a:b"), "a path may hold colons"
    assert groups_of("nonsense\n0::relative\n\n") == (None, None)


@given(st.text())
def test_no_text_breaks_the_groups_either(text: str) -> None:
    assert all(path is None or path.startswith("/") for path in groups_of(text))


# --- read from the files ---


class System:
    """A `/proc` and a `/sys/fs/cgroup` in a folder."""

    def __init__(self, folder: Path, cgroup: str) -> None:
        self.proc, self.groups = folder / "proc", folder / "cgroup"
        self.put(self.proc / "self" / "cgroup", cgroup)
        self.put(self.proc / "meminfo", MEMINFO)

    def put(self, file: Path, text: str) -> None:
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text, "utf-8")

    def left(self) -> float | None:
        return memory_left_mib(self.proc, self.groups)


def test_version_2_and_the_groups_above(tmp_path: Path) -> None:
    system = System(tmp_path, "0::/system.slice/agent.service\n")
    assert system.left() == 300.0
    unit = system.groups / "system.slice" / "agent.service"
    system.put(unit / "memory.max", f"{200 * MIB}\n")
    system.put(unit / "memory.current", f"{120 * MIB}\n")
    assert system.left() == 80.0
    system.put(unit / "memory.stat", f"inactive_file {15 * MIB}\n")
    assert system.left() == 95.0
    system.put(unit.parent / "memory.max", f"{500 * MIB}\n")
    system.put(unit.parent / "memory.current", f"{470 * MIB}\n")
    assert system.left() == 30.0


def test_version_1_in_a_container_that_sees_only_its_own_group(tmp_path: Path) -> None:
    system = System(tmp_path, "9:memory:/docker/0123\n0::/\n")
    system.put(system.groups / "memory" / "memory.limit_in_bytes", f"{128 * MIB}\n")
    system.put(system.groups / "memory" / "memory.usage_in_bytes", f"{100 * MIB}\n")
    assert system.left() == 28.0


def test_a_path_that_leads_out_of_the_tree_is_not_followed(tmp_path: Path) -> None:
    system = System(tmp_path, "0::/../../outside\n")
    system.put(tmp_path / "outside" / "memory.max", "1\n")
    system.put(tmp_path / "outside" / "memory.current", "1\n")
    system.put(system.groups / "memory.max", f"{150 * MIB}\n")
    system.put(system.groups / "memory.current", f"{50 * MIB}\n")
    assert system.left() == 100.0


def test_a_system_without_such_files(tmp_path: Path) -> None:
    assert memory_left_mib(tmp_path / "no-proc", tmp_path / "no-groups") is None


def test_this_system_tells() -> None:
    left = memory_left_mib()
    assert left is not None
    assert left > 0


# --- what the kernel killed ---


def test_kills_are_counted_of_the_own_group_or_of_the_machine(tmp_path: Path) -> None:
    system = System(tmp_path, "9:memory:/docker/0123\n0::/system.slice/agent.service\n")

    def killed() -> int | None:
        return oom_kills(system.proc, system.groups)

    assert killed() is None
    system.put(system.proc / "vmstat", "nr_free_pages 7\noom_kill 12\noom_kill_disable 1\n")
    assert killed() == 12
    system.put(system.groups / "memory" / "memory.oom_control", "oom_kill_disable 0\nunder_oom 0\noom_kill 5\n")
    assert killed() == 5
    system.put(system.groups / "system.slice" / "memory.events", "low 0\noom 2\noom_kill many\n")
    assert killed() == 5, "what can't be read is passed over"
    system.put(system.groups / "system.slice" / "agent.service" / "memory.events", "oom 9\noom_kill 1\n")
    assert killed() == 1


def test_this_system_counts_kills() -> None:
    count = oom_kills()
    assert count is not None
    assert count >= 0
