from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import cv2
import numpy as np
import pytest

from agent.__main__ import main
from agent.deliver.ledger import Ledger
from agent.deliver.receipts import Sending
from tests.agent.adapters.test_receipt_log import log
from tests.agent.app.material import SIDE, clip, demo_clip, folder, person_model, picture
from tests.vision.shared import built

Capture = pytest.CaptureFixture[str]


@pytest.fixture(scope="session")
def model(tmp_path_factory: pytest.TempPathFactory) -> str:
    return str(person_model(tmp_path_factory.mktemp("model") / "person"))


def configuration(path: Path, *, model: str, source: Path | str, data_dir: Path, labels: str = '["person"]') -> str:
    path.write_text(
        f"device = 'gate-1'\ndata_dir = '{data_dir}'\nmodel = {{ model = '{model}' }}\n"
        f"[[cameras]]\nname = 'front'\nsource = '{source}'\n[[rules]]\nname = 'people'\nlabels = {labels}\n"
    )
    return str(path)


def command(*arguments: str) -> list[str]:
    return [sys.executable, "-m", "agent", *arguments]


# --- help ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("run", ["--config", "--until-end", "--log-level", "SIGTERM", "SIGHUP"]),
        ("check", ["--config", "--settings-only", "--json"]),
        ("detect", ["--source", "--model", "--jsonl", "--min-score", "--threads", "--delegate"]),
        ("bench", ["--source", "--model", "--json"]),
        ("egress", ["--config", "--data-dir", "--since", "--by", "--verify", "--mark", "--json", "3 the egress log"]),
        ("install-service", ["--config", "--user", "--device", "--prefix", "--print"]),
        ("uninstall-service", ["--config", "--prefix"]),
    ],
)
def test_help_teaches(name: str, options: list[str], capsys: Capture) -> None:
    with pytest.raises(SystemExit) as ended:
        main([name, "--help"])
    assert ended.value.code == 0
    said = capsys.readouterr().out
    assert all(option in said for option in [*options, "exit codes: 0 done", "78 wrong"])


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ([], "COMMAND"),
        (["watch"], "invalid choice: 'watch'"),
        (["run"], "--config"),
        (["detect", "--source", "rtsp://me:hunter2@cam/1"], "argument --source: not recorded; name a video file"),
        (["detect", "--source", "0"], "argument --source: not recorded"),
        (["detect", "--source", ""], "argument --source: not recorded"),
        (["detect", "--source", "x", "--min-score", "much"], "argument --min-score: 'much' is not between 0 and 1"),
        (["detect", "--source", "x", "--min-score", "nan"], "argument --min-score: 'nan' is not between 0 and 1"),
        (["detect", "--source", "x", "--threads", "0"], "argument --threads: '0' is not a number from 1 to 16"),
        (["bench", "--source", "x", "--threads", "two"], "argument --threads: 'two' is not a number from 1 to 16"),
        (["bench", "--source", "x", "--model", ""], "argument --model: it is empty or far too long"),
        (["bench", "--source", "x", "--delegate", ""], "argument --delegate: it is empty"),
        (["bench", "--source", "x", "--runtime", "tensorflow"], "invalid choice: 'tensorflow'"),
    ],
)
def test_a_wrong_command_line(arguments: list[str], said: str, capsys: Capture) -> None:
    with pytest.raises(SystemExit) as ended:
        main(arguments)
    assert ended.value.code == 2
    error = capsys.readouterr().err
    assert said in error
    assert "hunter2" not in error
    assert "Traceback" not in error


# --- check --------------------------------------------------------------------------------------------------------


def test_check_of_what_is_fit(tmp_path: Path, model: str, capsys: Capture) -> None:
    path = configuration(
        tmp_path / "a.toml", model=model, source=clip(tmp_path / "c.avi"), data_dir=tmp_path / "data"
    )
    assert main(["check", "--config", path]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert all(line.startswith("ok   ") for line in lines)
    assert any(f"camera front: {SIDE}×{SIDE} from" in line for line in lines)
    assert main(["check", "--config", path, "--json"]) == 0
    report = json.loads(capsys.readouterr().out)
    assert report["fit"] is True
    assert [finding["what"] for finding in report["findings"]] == [
        "configuration",
        "model",
        "camera front",
        "data_dir",
        "token",
    ]
    assert {frozenset(finding) for finding in report["findings"]} == {frozenset({"what", "said", "error"})}


def test_check_says_everything_that_is_wrong(tmp_path: Path, model: str, capsys: Capture) -> None:
    (tmp_path / "data").write_text("a file where the folder should be")
    path = configuration(
        tmp_path / "a.toml",
        model=model,
        source=tmp_path / "gone.avi",
        data_dir=tmp_path / "data",
        labels='["person", "persn"]',
    )
    assert main(["check", "--config", path, "--json"]) == 1
    report = json.loads(capsys.readouterr().out)
    assert report["fit"] is False
    wrong = {finding["what"]: finding["error"] for finding in report["findings"] if finding["error"]}
    assert wrong == {"model": "LabelUnknown", "camera front": "SourceMissing", "data_dir": "OutboxUnwritable"}
    assert main(["check", "--config", path]) == 1
    said = capsys.readouterr().out
    assert "BAD  model: tiny knows no persn" in said
    assert "gone.avi" in said


def test_check_names_bands_that_are_pinned_for_nothing(tmp_path: Path, model: str, capsys: Capture) -> None:
    source = clip(tmp_path / "c.avi")
    path = configuration(tmp_path / "a.toml", model=model, source=source, data_dir=tmp_path / "data")
    file = Path(path)
    pinned = (
        'bands = [{ label = "preson", lower = 0.3, upper = 0.8 }, { label = "person", lower = 0.3, upper = 0.8 }]'
    )
    file.write_text(file.read_text().replace("[[cameras]]\n", f"[[cameras]]\n{pinned}\n"))
    assert main(["check", "--config", path]) == 1
    said = capsys.readouterr().out
    assert "ok   objective of front: preson pinned at 0.3 to 0.8; person pinned" in said
    assert "no rule looks for preson there" in said
    assert "BAD  model: tiny knows no preson" in said


@pytest.mark.parametrize(
    ("people", "line"),
    [
        ('["person"]', "ok   redaction of front: heads hidden where the model finds them, 0 masks"),
        (
            '["Person"]',
            "BAD  redaction of front: the model knows no Person, so no picture of this camera would leave",
        ),
    ],
)
def test_check_says_whether_the_model_can_tell_whom_to_hide(
    tmp_path: Path, model: str, capsys: Capture, people: str, line: str
) -> None:
    path = Path(
        configuration(tmp_path / "a.toml", model=model, source=clip(tmp_path / "c.avi"), data_dir=tmp_path / "data")
    )
    hides = f"redaction = {{ hide = 'heads', people = {people} }}\n[[rules]]"
    path.write_text(path.read_text().replace("[[rules]]", hides))
    assert main(["check", "--config", str(path)]) == (0 if line.startswith("ok") else 1)
    assert line in capsys.readouterr().out.splitlines()


def test_check_before_a_reload_opens_nothing(tmp_path: Path, capsys: Capture) -> None:
    """A running agent may have the camera for itself, and its token is hidden from other processes."""
    path = configuration(tmp_path / "a.toml", model="gone", source=tmp_path / "gone.avi", data_dir=tmp_path / "data")
    assert main(["check", "--config", path, "--settings-only"]) == 0
    assert [line.split(":")[0] for line in capsys.readouterr().out.splitlines()] == ["ok   configuration"]
    assert not (tmp_path / "data").exists()
    with Path(path).open("a") as file:
        file.write("[rulez]\n")
    assert main(["check", "--config", path, "--settings-only"]) == 78
    assert "rulez" in capsys.readouterr().err


def test_check_says_what_cameras_are_held_to(tmp_path: Path, capsys: Capture) -> None:
    path = configuration(tmp_path / "a.toml", model="gone", source=tmp_path / "gone.avi", data_dir=tmp_path / "data")
    file = Path(path)
    text = file.read_text("utf-8")
    cameras = '[[cameras]]\nbands = [{ label = "car", lower = 0.3, upper = 0.8 }]'
    wanted = "\n[objective]\nmax_miss_rate = 0.1\nmax_false_alerts_per_day = 2\n"
    asking = "" if "[ask]" in text else '\n[ask]\nurl = "http://127.0.0.1:9"\n'
    file.write_text(text.replace("[[cameras]]", cameras, 1) + asking + wanted, "utf-8")
    assert main(["check", "--config", path, "--settings-only"]) == 0
    said = capsys.readouterr().out
    assert "objective of front: misses at most 10.0% (6 frames an hour are audited), at most 2 false alerts" in said
    assert "car pinned at 0.3 to 0.8" in said


FRONT_AND_YARD = """
device = "gate-1"
data_dir = "data"
asking = {{ again_with_context = {again} }}
[[cameras]]
name = "front"
source = "a.mp4"
audit = {{ per_hour = 0 }}
[[cameras]]
name = "yard"
source = "b.mp4"
{yard}
[[rules]]
name = "people"
labels = ["person"]
[[rules]]
name = "dogs"
labels = ["dog"]
cameras = ["front"]
{dogs}
[ask]
url = "http://127.0.0.1:9"
"""


@pytest.mark.parametrize(
    ("again", "yard", "dogs", "said"),
    [
        ("true", "", "", "leave for an answer in doubt: front, yard; the audit: yard"),
        ("false", "", "", "leave for the audit: yard"),
        (
            "false",
            "audit = { probability = 0 }",
            "context = true",
            "leave for rules with context: front",
        ),
        (
            "true",
            'audit = { per_hour = 0 }\nredaction = { hide = "all-but-asked" }',
            "",
            "leave for an answer in doubt: front",
        ),
        ("false", "audit = { per_hour = 0 }", 'context = true\npicture = "never"', "none leaves, but by command"),
    ],
)
def test_check_says_of_which_cameras_whole_frames_leave(
    tmp_path: Path, capsys: Capture, again: str, yard: str, dogs: str, said: str
) -> None:
    path = tmp_path / "a.toml"
    path.write_text(FRONT_AND_YARD.format(again=again, yard=yard, dogs=dogs))
    assert main(["check", "--config", str(path), "--settings-only"]) == 0
    assert f"ok   whole frames: {said}" in capsys.readouterr().out.splitlines()


NEVER_HELD = "whole frames of front: {key} never holds the 9 kB that one takes, so "


@pytest.mark.parametrize(
    ("rule", "amount", "shown", "said"),
    [
        ("", "200kB/day", "much", f"ok   {NEVER_HELD}an answer in doubt"),
        ("context = true", "200kB/day", "much", f"BAD  {NEVER_HELD}rule 'people'"),
        ("context = true", "200kB/day", "nothing", None),
        ("context = true\nurgent = true", "200kB/day", "much", None),
        ("context = true", "250kB/day", "much", None),
        ('picture = "never"', "200kB/day", "much", None),
    ],
)
def test_check_says_where_the_budget_never_holds_a_whole_frame_of_a_camera(
    tmp_path: Path, model: str, capsys: Capture, rule: str, amount: str, shown: str, said: str | None
) -> None:
    (tmp_path / "front").mkdir()
    most = 256 if shown == "much" else 1
    image = np.random.default_rng(1).integers(0, most, (240, 320, 3), np.uint8)
    assert cv2.imwrite(str(tmp_path / "front" / "1.png"), image)
    path = Path(
        configuration(tmp_path / "a.toml", model=model, source=tmp_path / "front", data_dir=tmp_path / "data")
    )
    asking = f'[ask]\nurl = "http://127.0.0.1:9"\n[asking.budget]\nbytes = "{amount}"\n'
    path.write_text(f"{path.read_text()}{rule}\n{asking}")
    ended = main(["check", "--config", str(path)])
    told = [line for line in capsys.readouterr().out.splitlines() if "whole frames of" in line]
    assert ended == (1 if told and told[0].startswith("BAD") else 0)
    if said is None:
        assert told == []
        return
    (line,) = told
    assert line.startswith(said.format(key=f'asking.budget.bytes = "{amount}"'))
    assert line.endswith(' never shows it; "248kB/day" would')
    path.write_text(path.read_text().replace(amount, "248kB/day"))
    assert main(["check", "--config", str(path)]) == 0
    assert "whole frames of" not in capsys.readouterr().out


def test_check_of_a_model_that_is_not_there(tmp_path: Path, capsys: Capture) -> None:
    gone = str(tmp_path / "gone.tflite")
    path = configuration(tmp_path / "a.toml", model=gone, source=clip(tmp_path / "c.avi"), data_dir=tmp_path)
    assert main(["check", "--config", path]) == 1
    assert "BAD  model: there is no model at" in capsys.readouterr().out


def test_check_of_a_token_file_that_is_not_there(tmp_path: Path, model: str, capsys: Capture) -> None:
    path = configuration(tmp_path / "a.toml", model=model, source=clip(tmp_path / "c.avi"), data_dir=tmp_path)
    with Path(path).open("a") as file:
        file.write(f"[link]\ntoken_file = '{tmp_path / 'gone'}'\n")
    assert main(["check", "--config", path]) == 1
    assert "BAD  token: token_file:" in capsys.readouterr().out


def test_check_of_certificates(tmp_path: Path, model: str, capsys: Capture) -> None:
    path = configuration(tmp_path / "a.toml", model=model, source=clip(tmp_path / "c.avi"), data_dir=tmp_path)
    (tmp_path / "ca.pem").write_text("a certificate")
    with Path(path).open("a") as file:
        file.write(f"[link]\nurl = 'mqtts://broker'\nca_file = '{tmp_path / 'ca.pem'}'\n")
        file.write(f"[ask]\nurl = 'https://cloud'\nca_file = '{tmp_path / 'gone.pem'}'\n")
    assert main(["check", "--config", path]) == 1
    said = capsys.readouterr().out
    assert f"ok   link.ca_file: {tmp_path / 'ca.pem'}" in said
    assert f"BAD  ask.ca_file: {tmp_path / 'gone.pem'} is not there" in said


# --- detect -------------------------------------------------------------------------------------------------------


def test_detect_writes_one_line_a_frame(tmp_path: Path, model: str, capsys: Capture) -> None:
    out = tmp_path / "out.jsonl"
    source = str(clip(tmp_path / "c.avi", frames=6, fps=20.0))
    assert main(["detect", "--source", source, "--model", model, "--jsonl", str(out)]) == 0
    lines = [json.loads(line) for line in out.read_text().splitlines()]
    assert [list(line) for line in lines] == [["frame", "t_ms", "detections"]] * 6
    assert [(line["frame"], line["t_ms"]) for line in lines] == [(i, pytest.approx(50.0 * i)) for i in range(6)]
    (found,) = lines[0]["detections"]
    assert list(found) == ["label", "score", "box"]
    assert (found["label"], found["score"]) == ("person", pytest.approx(0.9))
    assert found["box"] == pytest.approx([0.4, 0.3, 0.6, 0.7], abs=1e-4)
    said = capsys.readouterr()
    assert said.out == ""
    assert "6 frames, 6 detections in " in said.err
    assert not list(tmp_path.glob(".*.part"))


def test_detect_to_standard_output(tmp_path: Path, model: str, capsys: Capture) -> None:
    source = str(folder(tmp_path / "pictures", 3))
    assert main(["detect", "--source", source, "--model", model, "--min-score", "0.95"]) == 0
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [(line["frame"], line["detections"]) for line in lines] == [(0, []), (1, []), (2, [])]


@pytest.mark.parametrize(
    ("name", "content", "error"),
    [
        ("gone.avi", None, "SourceMissing"),
        ("empty.avi", b"", "SourceEmpty"),
        ("garbage.avi", os.urandom(4096), "SourceUnreadable"),
        ("cut.avi", "cut", "SourceUnreadable"),
    ],
)
@pytest.mark.parametrize("what", ["detect", "bench"])
def test_a_source_that_is_none(
    tmp_path: Path, model: str, what: str, name: str, content: bytes | str | None, error: str, capsys: Capture
) -> None:
    source = tmp_path / name
    if isinstance(content, str):
        source.write_bytes(clip(tmp_path / "whole.avi").read_bytes()[:40])
    elif content is not None:
        source.write_bytes(content)
    arguments = [what, "--source", str(source), "--model", model]
    if what == "detect":
        arguments += ["--jsonl", str(tmp_path / "out.jsonl")]
    assert main(arguments) == 1
    said = capsys.readouterr()
    assert said.err.startswith(f"{error}: ")
    assert said.out == ""
    assert not (tmp_path / "out.jsonl").exists()


def test_a_model_that_is_none(tmp_path: Path, model: str, capsys: Capture) -> None:
    source = str(clip(tmp_path / "c.avi"))
    whole = (Path(model) / "model.tflite").read_bytes()
    (tmp_path / "cut.tflite").write_bytes(whole[: len(whole) // 2])
    (tmp_path / "text.tflite").write_text("not a model")
    for file, error in (("cut", "ModelUnreadable"), ("text", "ModelUnreadable"), ("gone", "ModelMissing")):
        assert main(["detect", "--source", source, "--model", str(tmp_path / f"{file}.tflite")]) == 1
        assert capsys.readouterr().err.startswith(f"{error}: ")


def test_a_half_written_result_never_takes_the_name_of_a_whole_one(
    tmp_path: Path, model: str, capsys: Capture
) -> None:
    out = tmp_path / "out.jsonl"
    out.write_text("of an earlier run\n")
    broken = tmp_path / "pictures"
    broken.mkdir()
    (broken / "0.png").write_bytes(b"no picture")
    assert main(["detect", "--source", str(broken), "--model", model, "--jsonl", str(out)]) == 1
    assert "SourceEmpty" in capsys.readouterr().err
    assert out.read_text() == "of an earlier run\n"
    assert not list(tmp_path.glob(".*.part"))


def test_a_result_that_can_not_be_written(tmp_path: Path, model: str, capsys: Capture) -> None:
    source = str(clip(tmp_path / "c.avi"))
    for out in (tmp_path / "no folder" / "out.jsonl", tmp_path):
        assert main(["detect", "--source", source, "--model", model, "--jsonl", str(out)]) == 1
        error = capsys.readouterr().err
        assert error.startswith("OutputUnwritable: ")
        assert str(out) in error
        assert not list(tmp_path.glob(".*.part"))


@pytest.mark.parametrize("unbuffered", ["", "1"])
def test_a_full_disk_behind_the_output(tmp_path: Path, model: str, unbuffered: str) -> None:
    source = str(clip(tmp_path / "c.avi"))
    done = into_a_full_device(unbuffered, "detect", "--source", source, "--model", model)
    assert "OutputUnwritable: the standard output can't be written" in done.stderr
    assert "Traceback" not in done.stderr
    assert done.returncode == 1


def test_a_result_into_a_pipe(tmp_path: Path, model: str) -> None:
    source = str(clip(tmp_path / "c.avi", frames=3))
    done = subprocess.run(
        command("detect", "--source", source, "--model", model, "--jsonl", "/dev/stdout"),
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    assert len(done.stdout.splitlines()) == 3


@pytest.mark.parametrize("frames", [2, 400])
def test_a_reader_that_went_away_is_not_worth_a_word(tmp_path: Path, model: str, frames: int) -> None:
    source = str(clip(tmp_path / "c.avi", frames=frames))
    reading, writing = os.pipe()
    os.close(reading)
    with os.fdopen(writing, "w") as gone:
        done = subprocess.run(
            command("detect", "--source", source, "--model", model),
            stdout=gone,
            stderr=subprocess.PIPE,
            text=True,
            timeout=60,
            check=False,
        )
    assert done.returncode == 1
    assert "Broken" not in done.stderr
    assert "Traceback" not in done.stderr


LONG = 200
"""Uploads in a log that say more than the output's buffer of 8 KB holds."""


@pytest.fixture(scope="module")
def uploads(tmp_path_factory: pytest.TempPathFactory) -> Path:
    data = tmp_path_factory.mktemp("data")
    receipts = log(data, Ledger())
    receipts.open()
    for number in range(LONG):
        receipts.begin(Sending("questions", f"{number:032x}", "gate", "cloud:8443", 500, 400, "0" * 64, None))
    receipts.close()
    return data


def into_a_full_device(unbuffered: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    with Path("/dev/full").open("w") as full:
        return subprocess.run(
            command(*arguments),
            stdout=full,
            env=os.environ | {"PYTHONUNBUFFERED": unbuffered},
            stderr=subprocess.PIPE,
            text=True,
            timeout=60,
            check=False,
        )


@pytest.mark.parametrize("unbuffered", ["", "1"])
@pytest.mark.parametrize("words", [["egress", "--json"], ["egress", "--verify"], ["bench", "--help"]])
def test_a_full_device_behind_any_command_is_told(uploads: Path, words: list[str], unbuffered: str) -> None:
    about = ["--data-dir", str(uploads)] if words[0] == "egress" else []
    done = into_a_full_device(unbuffered, *words, *about)
    assert done.stderr.count("OutputUnwritable: the standard output can't be written: No space left on device") == 1
    assert "Traceback" not in done.stderr
    assert "Exception ignored" not in done.stderr
    assert done.returncode == 1


def test_a_wrong_command_line_stays_that_before_a_full_device() -> None:
    assert into_a_full_device("1", "egress").returncode == 2


@pytest.mark.system
def test_interrupting_leaves_nothing_behind(tmp_path: Path, model: str) -> None:
    out = tmp_path / "out.jsonl"
    source = tmp_path / "long.mjpeg"
    # Minutes of work, so that none is done before it is interrupted.
    source.write_bytes(cv2.imencode(".jpg", picture(0))[1].tobytes() * 100_000)
    arguments = command("detect", "--source", str(source), "--model", model, "--jsonl", str(out))
    process = subprocess.Popen(arguments, stderr=subprocess.PIPE, text=True)
    part = out.with_name(".out.jsonl.part")
    until = time.monotonic() + 60
    while not part.exists():
        assert process.poll() is None
        assert time.monotonic() < until
        threading.Event().wait(0.01)
    process.send_signal(signal.SIGINT)
    _, error = process.communicate(timeout=30)
    assert process.returncode == 130
    assert "Traceback" not in error
    assert not part.exists()
    assert not out.exists()


# --- bench --------------------------------------------------------------------------------------------------------

BENCH_KEYS = ["pipeline_fps", "bare_fps", "ratio", "rss_mib", "stages_us", "first_frame_s", "model", "source"]


@pytest.mark.parametrize("kind", ["clip", "one frame", "folder", "one picture"])
def test_bench_tells_its_figures(tmp_path: Path, model: str, kind: str, capsys: Capture) -> None:
    match kind:
        case "clip" | "one frame":
            source = clip(tmp_path / "c.avi", frames=30 if kind == "clip" else 1)
        case _:
            source = folder(tmp_path / "pictures", 5 if kind == "folder" else 1)
            (source / "broken.png").write_bytes(b"no picture")
    assert main(["bench", "--source", str(source), "--model", model, "--frames", "20", "--json"]) == 0
    result = json.loads(capsys.readouterr().out)
    assert list(result) == BENCH_KEYS
    assert result["ratio"] == pytest.approx(result["pipeline_fps"] / result["bare_fps"], rel=0.01)
    stages = ["gate", "detect", "look", "track", "decide", "deliver", "ask", "ride", "choose", "hear"]
    assert list(result["stages_us"]) == stages
    assert result["stages_us"]["detect"] > 0
    assert result["rss_mib"] > 10
    assert result["source"] == str(source)
    assert result["model"].startswith("tiny 1 on litert")


def test_bench_for_people(tmp_path: Path, model: str, capsys: Capture) -> None:
    assert main(["bench", "--source", str(clip(tmp_path / "c.avi")), "--model", model, "--frames", "20"]) == 0
    said = capsys.readouterr().out
    assert [line.split("  ")[0] for line in said.splitlines()] == [
        "pipeline",
        "bare loop",
        "ratio",
        "memory",
        "first frame",
        "µs a frame",
        "model",
        "source",
    ]


@pytest.mark.system
def test_the_real_detector_on_the_demo_clip(tmp_path: Path) -> None:
    built("default")
    reader = cv2.VideoCapture(str(demo_clip()))
    short = tmp_path / "short.avi"
    writer = cv2.VideoWriter(str(short), cv2.VideoWriter.fourcc(*"MJPG"), 10.0, (768, 576))
    for _ in range(20):
        writer.write(reader.read()[1])
    writer.release()
    out = tmp_path / "out.jsonl"
    assert main(["detect", "--source", str(short), "--jsonl", str(out), "--min-score", "0.5"]) == 0
    lines = [json.loads(line) for line in out.read_text().splitlines()]
    assert len(lines) == 20
    people = [found for line in lines for found in line["detections"] if found["label"] == "person"]
    assert len(people) > 40
    for found in people:
        x1, y1, x2, y2 = found["box"]
        assert 0 <= x1 < x2 <= 1
        assert 0 <= y1 < y2 <= 1
