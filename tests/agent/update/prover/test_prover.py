"""The proof, in its real process."""

from __future__ import annotations

import contextlib
import errno
import itertools
import json
import os
import select
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from agent.adapters.memory_left import oom_kills
from agent.adapters.prover import COMMAND, ProcessProver
from agent.detect.settings import DetectSettings
from agent.errors import CandidateRejected, ProofOutOfMemory, ProofPostponed
from agent.update.ports import Candidate
from tests.vision.tiny_models import CELLS, PICTURE, Spec, build, manifest_json, write_manifest, yolo_rows
from vision.detector import open_detector
from vision.golden import make_golden
from vision.manifest import load_manifest
from vision.tflite_file import LOGISTIC
from wire.updates import Gates, ModelRef

pytestmark = pytest.mark.parts

PROVER = ProcessProver(DetectSettings())


def candidate(folder: Path) -> Candidate:
    manifest = load_manifest(folder / "manifest.json")
    return Candidate(ModelRef(name=manifest.name, version=manifest.version, digest=manifest.digest), folder)


@pytest.fixture
def tiny(tmp_path: Path) -> Path:
    rows = yolo_rows(3 * CELLS, 2, [(3, (0.5, 0.5, 0.2, 0.4), 0.9, 0)])
    file = build(tmp_path / "model.tflite", [PICTURE], [Spec((1, 252, 7), values=rows)], extra_codes=[LOGISTIC])
    write_manifest(file, output={"kind": "yolov5"})
    return tmp_path


def scripted(tmp_path: Path, body: str, **options: Any) -> ProcessProver:
    script = tmp_path / "child.py"
    script.write_text(f"import ctypes, json, os, sys, time\n{body}\n")
    return ProcessProver(DetectSettings(), command=(sys.executable, str(script)), start_s=0.0, **options)


SAY_LOADING = "print(json.dumps({'stage': 'loading'}), flush=True)\n"


def test_a_sound_model_is_measured(tiny: Path) -> None:
    proof = PROVER.prove(candidate(tiny), Gates(), 1000.0)
    assert 0 < proof.load_s < 20
    assert proof.latency_ms > 0
    assert 20 < proof.memory_mib < 512


def test_each_gate_is_named(tiny: Path) -> None:
    with pytest.raises(CandidateRejected, match=r"MiB, more than 20 MiB"):
        PROVER.prove(candidate(tiny), Gates(max_memory_mib=20), None)
    with pytest.raises(CandidateRejected, match=r"s to load, more than 1e-06 s"):
        PROVER.prove(candidate(tiny), Gates(max_load_s=1e-6), None)
    with pytest.raises(CandidateRejected, match="times as long"):
        PROVER.prove(candidate(tiny), Gates(), 1e-6)


def test_falling_back_from_the_current_models_delegate_is_refused(tiny: Path) -> None:
    plain = DetectSettings(delegates=("none",))
    with pytest.raises(CandidateRejected, match="does not run on xnnpack as the current model does, only on none"):
        ProcessProver(plain, delegate="xnnpack").prove(candidate(tiny), Gates(), None)
    ProcessProver(plain, delegate="libedgetpu.so.1").prove(candidate(tiny), Gates(), None)


def test_what_vision_refuses_is_refused_with_its_reason(tiny: Path) -> None:
    write_manifest(tiny / "model.tflite", output={"kind": "yolov5"}, input={"width": 300, "height": 300})
    with pytest.raises(CandidateRejected, match=r"ModelRefused: .*an input of 1×300×300×3, the model's is"):
        PROVER.prove(candidate(tiny), Gates(), None)


def test_a_manifest_of_another_release_is_refused(tiny: Path) -> None:
    told = candidate(tiny)
    write_manifest(tiny / "model.tflite", output={"kind": "yolov5"}, version="2")
    with pytest.raises(CandidateRejected, match="version: the manifest says 2, the release is 1"):
        PROVER.prove(told, Gates(), None)


def test_golden_answers_that_differ_are_refused(tiny: Path) -> None:
    file = tiny / "model.tflite"
    golden = make_golden(lambda kernels: open_detector(tiny, delegates=[kernels])).model_dump()
    write_manifest(file, output={"kind": "yolov5"}, golden=golden)
    PROVER.prove(candidate(tiny), Gates(), None)
    # The file was damaged before it was signed: the digest is right, the answers are not.
    rows = yolo_rows(3 * CELLS, 2, [(3, (0.5, 0.5, 0.2, 0.4), 0.89, 0)])
    build(file, [PICTURE], [Spec((1, 252, 7), values=rows)], extra_codes=[LOGISTIC])
    write_manifest(file, output={"kind": "yolov5"}, golden=golden)
    with pytest.raises(CandidateRejected, match=r"ManifestInvalid: golden: part 2 of the outputs differs .* 'noise'"):
        PROVER.prove(candidate(tiny), Gates(), None)


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        ("ctypes.string_at(0)", "crashed with SIGSEGV while loading"),
        ("os.abort()", r"crashed with SIGABRT while loading \(memory is limited to 640 MiB\)"),
        ("sys.exit(3)", "ended with code 3 while loading"),
        ('print(\'{"stage": "starting"}\'); sys.exit(3)', "ended with code 3 while loading"),
        ("print('{}')", "ended with code 0 while loading"),
        ("print('{\"load_s\": NaN}')", "ended with code 0"),
        ("print('\\x00\\xff')", "ended with code 0"),
        ("while True: os.write(1, b'x' * 4096)", "talked without end"),
    ],
)
def test_however_the_process_ends_the_agent_hears_a_reason(
    tiny: Path, tmp_path: Path, body: str, reason: str
) -> None:
    with pytest.raises(CandidateRejected, match=reason):
        scripted(tmp_path, SAY_LOADING + body).prove(candidate(tiny), Gates(), None)


def test_a_process_that_hangs_is_ended_with_all_it_started(
    tiny: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pids = tmp_path / "pids"
    body = f"child = os.fork()\nif child: open({str(pids)!r}, 'w').write(f'{{os.getpid()}} {{child}}')\n"
    # What is ended from here is not the kernel's doing, whatever that did meanwhile.
    prover = scripted(tmp_path, body + SAY_LOADING + "while True: time.sleep(60)", killed=itertools.count().__next__)
    # What it is ended for is what it does then: a machine too busy to start Python in so short a time gets another.
    for allowed_s in (5, 60):
        monkeypatch.setattr("agent.adapters.prover.RUNS_S", allowed_s - 0.5)
        with pytest.raises((CandidateRejected, ProofPostponed)) as ended:
            prover.prove(candidate(tiny), Gates(max_load_s=0.5), None)
        if ended.type is CandidateRejected:
            break
    assert ended.type is CandidateRejected
    assert f"not done after {allowed_s} s, while loading" in ended.value.what
    for pid in pids.read_text().split():
        with contextlib.suppress(ProcessLookupError):
            descriptor = os.pidfd_open(int(pid))
            assert select.select([descriptor], [], [], 60.0)[0], "it was not ended"
            os.close(descriptor)


def test_the_process_gets_no_secrets_no_files_and_no_network(
    tiny: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("VEDETTE_TOKEN", "secret")
    seen = tmp_path / "seen.json"
    with (tmp_path / "open").open("w") as held:
        os.set_inheritable(held.fileno(), True)
        body = (
            "from vision.confinement import leave_the_network, limit\n"
            "cut = leave_the_network()\n"
            f"out = open({str(seen)!r}, 'w')\n"
            "links = [line.split(':')[0].strip() for line in open('/proc/net/dev').readlines()[2:]]\n"
            "fds = [os.readlink(f'/proc/self/fd/{fd}') for fd in os.listdir('/proc/self/fd')"
            " if os.path.exists(f'/proc/self/fd/{fd}')]\n"
            "json.dump({'env': dict(os.environ), 'fds': fds, 'cut': cut, 'links': links}, out)\n"
            "out.close()\n"
            "limit(memory_mib=200, cpu_s=5)\n"
            "try: bytearray(300 << 20)\n"
            "except MemoryError: print(json.dumps({'refused': 'no memory'})); sys.exit(1)\n"
        )
        with pytest.raises(CandidateRejected, match="no memory"):
            scripted(tmp_path, body).prove(candidate(tiny), Gates(), None)
    told = json.loads(seen.read_text())
    assert "VEDETTE_TOKEN" not in told["env"]
    assert str(tmp_path / "open") not in told["fds"]
    if told["cut"]:
        assert told["links"] in ([], ["lo"])


@pytest.mark.parametrize("short", [errno.ENOMEM, errno.EAGAIN, errno.EMFILE])
def test_where_no_process_can_be_had_the_candidate_is_not_at_fault(
    tiny: Path, monkeypatch: pytest.MonkeyPatch, short: int
) -> None:
    def refuses(*_: object, **__: object) -> None:
        raise OSError(short, os.strerror(short))

    monkeypatch.setattr("vision.child.subprocess.Popen", refuses)
    with pytest.raises(ProofPostponed, match=f"could not be started: {os.strerror(short)}"):
        PROVER.prove(candidate(tiny), Gates(), None)


def test_nor_where_the_program_can_not_be_found(tiny: Path) -> None:
    prover = ProcessProver(DetectSettings(), command=("/no/such/python",))
    with pytest.raises(ProofPostponed, match="could not be started: No such file"):
        prover.prove(candidate(tiny), Gates(), None)


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        ("os.kill(os.getpid(), 9)", "crashed with SIGKILL while starting"),
        ("sys.exit(127)", "ended with code 127 while starting"),
        ("raise MemoryError", "ended with code 1 while starting"),
    ],
)
def test_nor_where_it_ends_before_it_looks_at_the_candidate(
    tiny: Path, tmp_path: Path, body: str, reason: str
) -> None:
    with pytest.raises(ProofPostponed, match=reason):
        scripted(tmp_path, body).prove(candidate(tiny), Gates(), None)


@pytest.mark.parametrize(
    ("body", "counted", "error"),
    [
        ("os.kill(os.getpid(), 9)", (3, 4), ProofOutOfMemory),
        ("os.kill(os.getpid(), 9)", (3, 3), CandidateRejected),
        ("os.kill(os.getpid(), 9)", (None, 1), CandidateRejected),
        ("os.kill(os.getpid(), 9)", (3, None), CandidateRejected),
        ("os.kill(os.getpid(), 11)", (3, 4), CandidateRejected),
        ("while True: os.write(1, b'x' * 4096)", (3, 4), CandidateRejected),
        ("sys.exit(1)", (3, 4), CandidateRejected),
    ],
)
def test_a_kill_is_the_kernel_s_where_it_counted_one_meanwhile(
    tiny: Path, tmp_path: Path, body: str, counted: tuple[int | None, int | None], error: type[Exception]
) -> None:
    told = iter(counted)
    prover = scripted(tmp_path, SAY_LOADING + body, killed=lambda: next(told))
    with pytest.raises(error):
        prover.prove(candidate(tiny), Gates(), None)


@pytest.fixture
def group(tmp_path: Path) -> Iterator[Path]:
    """A control group of 40 MiB, which takes root."""
    for parent, limit in (("/sys/fs/cgroup", "memory.max"), ("/sys/fs/cgroup/memory", "memory.limit_in_bytes")):
        made = Path(parent) / f"vedette-test-{os.getpid()}"
        with contextlib.suppress(OSError):
            made.mkdir()
            try:
                # Where no groups are mounted, this is a folder like any other, without such a file.
                with (made / limit).open("r+") as file:
                    file.write(str(40 << 20))
                yield made
                return
            finally:
                made.rmdir()
    pytest.skip("no control group can be made here, or memory is not bounded by them")


def test_a_real_kill_in_a_control_group_is_told_from_a_crash(tiny: Path, tmp_path: Path, group: Path) -> None:
    proc = tmp_path / "proc"
    (proc / "self").mkdir(parents=True)
    (proc / "self" / "cgroup").write_text(f"1:memory:/{group.name}\n0::/{group.name}\n")
    body = f"open('{group}/cgroup.procs', 'w').write(str(os.getpid()))\n{SAY_LOADING}b'x' * (200 << 20)\n"
    prover = scripted(tmp_path, body, killed=lambda: oom_kills(proc))
    with pytest.raises(ProofOutOfMemory, match="crashed with SIGKILL while loading"):
        prover.prove(candidate(tiny), Gates(), None)


def test_what_is_proven_goes_before_the_agent_where_memory_is_short(tiny: Path, tmp_path: Path) -> None:
    body = (
        "from vision.confinement import limit\n"
        "limit(memory_mib=200, cpu_s=5)\n"
        "print(json.dumps({'refused': open('/proc/self/oom_score_adj').read().strip()})); sys.exit(1)\n"
    )
    with pytest.raises(CandidateRejected, match="1000"):
        scripted(tmp_path, body).prove(candidate(tiny), Gates(), None)


IN_24_MIB = """
import os, resource, sys
resource.setrlimit(resource.RLIMIT_AS, (24 << 20, 24 << 20))
os.execv(sys.argv[1], sys.argv[1:])
"""


def test_a_real_proof_without_memory_to_start_in_is_postponed(tiny: Path) -> None:
    """As under a container's limit: the program is executed, and its libraries don't fit."""
    prover = ProcessProver(DetectSettings(), command=(sys.executable, "-c", IN_24_MIB, *COMMAND))
    with pytest.raises(ProofPostponed, match="while starting"):
        prover.prove(candidate(tiny), Gates(), None)


def test_a_missing_manifest_is_not_guessed(tiny: Path) -> None:
    told = candidate(tiny)
    (tiny / "manifest.json").unlink()
    with pytest.raises(CandidateRejected, match="ManifestInvalid"):
        PROVER.prove(told, Gates(), None)
    assert manifest_json(tiny / "model.tflite")["name"] == "tiny"
