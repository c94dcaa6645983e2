from __future__ import annotations

import datetime as dt
import re
import tomllib
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agent.__main__ import main
from agent.config import MAX_CONFIG_BYTES, Config, check_config, load_config
from agent.decide.settings import Fallback, PicturePolicy, WhenUnsure
from agent.errors import ConfigInvalid

SMALL = """
device = "gate-1"
data_dir = "/var/lib/vedette"

[[cameras]]
name = "front"
source = "/srv/front.avi"

[[rules]]
name = "people"
labels = ["person"]
"""

FULL = """
device = "gate-1"
data_dir = "/var/lib/vedette"
log_level = "warning"

[model]
model = "nanodet-g-416-fp16"
threads = 2
delegates = [{ library = "libedgetpu.so.1", options = { device = "usb:0" } }, "xnnpack", "none"]
runtimes = ["litert"]

[[cameras]]
name = "front"
source = "rtsp://viewer:hunter2@10.0.0.7/stream"
fps_limit = 10
stall_timeout_s = 5
motion = {}

[[cameras]]
name = "yard"
source = 0
width = 1280
height = 720

[tracking]
low_score = 0.15
new_score = 0.3

[[zones]]
name = "path"
camera = "front"
polygon = [[0.1, 0.1], [0.9, 0.1], [0.9, 0.9]]

[[masks]]
camera = "yard"
polygon = [[0, 0], [1, 0], [1, 0.2], [0, 0.2]]

[[rules]]
name = "people"
cameras = ["front", "yard"]
labels = ["person", "bicycle"]
min_score = 0.4
frames_to_confirm = 5
zones = ["path"]
cooldown_s = 30
when_unsure = "wait"
fallback = "retract"
picture = "always"

[asking]
uncertain = [0.3, 0.6]
deadline_s = 3
max_per_minute = 20

[ask]
url = "https://cloud.example/"
jpeg_quality = 60

[link]
url = "mqtts://broker.example"
protocol = "auto"
token_file = "/etc/vedette/token"

[outbox]
max_messages = 1000

[telemetry]
every_s = 60
"""


def invalid(text: str) -> list[str]:
    """The lines that are said of a configuration, without the first, which names the file."""
    with pytest.raises(ConfigInvalid) as refused:
        check_config(tomllib.loads(text), "agent.toml")
    first, *lines = str(refused.value).splitlines()
    assert first == "agent.toml can't be used:"
    assert lines
    return [line.removeprefix("  ") for line in lines]


def with_line(table: str, line: str) -> str:
    """The small configuration with one more line in a table."""
    header = f"[{table}]\n" if f"[{table}]" in SMALL else ""
    if not table:
        return f"{line}\n{SMALL}"
    return SMALL.replace(header, f"{header}{line}\n") if header else f"{SMALL}\n[{table}]\n{line}\n"


def written(folder: Path, content: str | bytes) -> Path:
    path = folder / "agent.toml"
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return path


def test_a_full_configuration(tmp_path: Path) -> None:
    config = load_config(written(tmp_path, FULL))
    assert (config.device, config.data_dir, config.log_level) == ("gate-1", Path("/var/lib/vedette"), "warning")
    assert (config.model.model, config.model.threads) == ("nanodet-g-416-fp16", 2)
    assert [camera.source for camera in config.cameras] == ["rtsp://viewer:hunter2@10.0.0.7/stream", "/dev/video0"]
    assert config.cameras[0].motion is not None
    assert config.cameras[1].motion is None
    assert config.rules[0].labels == ("person", "bicycle")
    rule = config.rules[0]
    assert (rule.when_unsure, rule.fallback, rule.picture) == (
        WhenUnsure.WAIT,
        Fallback.RETRACT,
        PicturePolicy.ALWAYS,
    )
    assert config.asking.uncertain == (0.3, 0.6)
    assert config.ask is not None
    assert config.ask.url == "https://cloud.example"
    assert config.link.address == ("broker.example", 8883, True)
    assert (config.outbox.max_messages, config.telemetry.every_s) == (1000, 60.0)
    assert config.masks[0].camera == "yard"


def test_a_small_configuration_needs_no_cloud(tmp_path: Path) -> None:
    config = load_config(written(tmp_path, SMALL))
    assert config.ask is None
    assert config.model.model == "default"
    assert config.link.url == "mqtt://127.0.0.1:1883"


@pytest.mark.parametrize(
    ("text", "lines"),
    [
        (with_line("", "devise = 'x'"), ["devise: unknown key; did you mean 'device'?"]),
        (with_line("link", "urll = 'x'"), ["link.urll: unknown key; did you mean 'url'?"]),
        (with_line("[rules]", "lables = []"), ["rules[0].lables: unknown key; did you mean 'labels'?"]),
        (
            with_line("[cameras]", "motion = { treshold = 4 }"),
            ["cameras[0].motion.treshold: unknown key; did you mean 'threshold'?"],
        ),
        (
            with_line("telemetry", "zzz = 1"),
            ["telemetry.zzz: unknown key; remove it; the keys here are every_s, first_after_s"],
        ),
        (SMALL.replace('device = "gate-1"', ""), ["device: is missing; add it"]),
        (SMALL.replace('source = "/srv/front.avi"', ""), ["cameras[0].source: is missing; add it"]),
        (with_line("ask", "jpeg_quality = 50"), ["ask.url: is missing; add it"]),
    ],
)
def test_unknown_and_missing_keys(text: str, lines: list[str]) -> None:
    assert invalid(text) == lines


@pytest.mark.parametrize(
    ("text", "key", "said"),
    [
        (with_line("model", "threads = 'two'"), "model.threads", "(got 'two')"),
        (with_line("", "log_level = 'loud'"), "log_level", "'debug', 'info', 'warning' or 'error'"),
        (with_line("", "zones = 3"), "zones", "should be a list"),
        (SMALL.replace("[[cameras]]", "[cameras]"), "cameras", "write [[cameras]]"),
        (SMALL.replace('["person"]', "[]"), "rules[0].labels", "at least 1 item"),
        (with_line("[rules]", "min_score = 1.5"), "rules[0].min_score", "less than or equal to 1 (got 1.5)"),
        (with_line("[rules]", "cooldown_s = nan"), "rules[0].cooldown_s", "finite"),
        (with_line("asking", "uncertain = [0.6, 0.3]"), "asking", "swap 0.6 and 0.3"),
        (SMALL.replace('"gate-1"', '"gate/1"'), "device", "(got 'gate/1')"),
        (SMALL.replace('"gate-1"', "2024-05-01"), "device", "string"),
        (with_line("tracking", "low_score = 0.9"), "tracking", "lower it"),
        (with_line("objective", "confidence = 0.9"), "objective", "wants nothing; give max_miss_rate"),
        (with_line("objective", "max_miss_rate = 0.1"), "objective", "nobody answers without the table [ask]"),
        (
            with_line("[cameras]", "bands = [{ label = 'person', lower = 0.8, upper = 0.4 }]"),
            "cameras[0].bands[0]",
            "swap them",
        ),
        (
            with_line(
                "[cameras]", "bands = [{ label = 'a', lower = 0, upper = 1 }, { label = 'a', lower = 0, upper = 1 }]"
            ),
            "cameras[0].bands",
            "'a' is used more than once",
        ),
    ],
)
def test_wrong_values(text: str, key: str, said: str) -> None:
    (line,) = invalid(text)
    assert line.startswith(f"{key}: ")
    assert said in line


@pytest.mark.parametrize(
    ("polygon", "said"),
    [
        ("[[0, 0], [1, 0]]", "has 2 points; give at least 3"),
        ("[[0, 0], [640, 0], [0, 1]]", "point 1 (640, 0) is outside of the picture"),
        ("[[0, 0], [1, 0], [0, 1], [1, 0]]", "point 3 (1, 0) is there already"),
        ("[[0, 0], [1, 1], [1, 0], [0, 1]]", "the sides 0–1 and 2–3 cross or touch"),
    ],
)
def test_a_bad_polygon_says_which_point(polygon: str, said: str) -> None:
    table = f'name = "a"\ncamera = "front"\npolygon = {polygon}'
    (line,) = invalid(with_line("[zones]", table))
    assert line.startswith("zones[0].polygon: ")
    assert said in line


@pytest.mark.parametrize(
    ("table", "line", "key"),
    [
        ("link", "url = 'tcp://host'", "link.url"),
        ("link", "url = 'mqtt://'", "link.url"),
        ("link", "url = 'mqtt://host:99999'", "link.url"),
        ("link", "url = 'mqtt://me:hunter2@host'", "link.url"),
        ("link", "url = 'mqqt://me:hunter2@host'", "link.url"),
        ("link", "url = 'mqtt://me:hunter2/4@host'", "link.url"),
        ("link", "url = ['mqtt://me:hunter2@host']", "link.url"),
        ("ask", "url = 'cloud.example'", "ask.url"),
        ("ask", "url = 'htps://me:hunter2@host'", "ask.url"),
        ("ask", "url = 'http://me:hunter2@host'", "ask.url"),
    ],
)
def test_a_bad_address_is_named_and_its_password_is_not(table: str, line: str, key: str) -> None:
    (said,) = invalid(with_line(table, line))
    assert said.startswith(f"{key}: ")
    assert "hunter2" not in said


@pytest.mark.parametrize(
    "source",
    ["rtspp://me:hunter2@cam/1", "rtsp://me:hunter2@/1", "rtsp://me:hunter2@cam:0/1", "rtsp://me:hunter2@cam:x/1"],
)
def test_a_cameras_password_is_never_shown(source: str) -> None:
    (said,) = invalid(SMALL.replace("/srv/front.avi", source))
    assert said.startswith("cameras[0].source: ")
    assert "hunter2" not in said
    live = SMALL.replace("/srv/front.avi", "rtsp://me:hunter2@cam/1")
    for text in (
        live.replace("[[cameras]]", "[[cameras]]\npace = 'max'"),
        live.replace("[[cameras]]", "[[cameras]]\npase = 1"),
        live.replace("[[cameras]]", "[cameras]"),
    ):
        assert "hunter2" not in "".join(invalid(text))
    in_line = 'cameras = [["rtsp://me:hunter2@c/1"]]\n' + SMALL[: SMALL.index("[[cameras]]")]
    assert "hunter2" not in "".join(invalid(in_line + SMALL[SMALL.index("[[rules]]") :]))


@pytest.mark.parametrize(
    ("text", "lines"),
    [
        (
            with_line("[rules]", 'cameras = ["back"]'),
            ["rules[0].cameras: there is no camera 'back'; the cameras are front"],
        ),
        (
            with_line("[rules]", 'zones = ["path"]'),
            ["rules[0].zones: there is no zone 'path'; no zone is configured"],
        ),
        (
            with_line("[masks]", 'camera = "back"\npolygon = [[0, 0], [1, 0], [1, 1]]'),
            ["masks[0].camera: there is no camera 'back'; the cameras are front"],
        ),
        (
            with_line("[zones]", 'name = "path"\ncamera = "back"\npolygon = [[0, 0], [1, 0], [1, 1]]'),
            ["zones[0].camera: there is no camera 'back'; the cameras are front"],
        ),
        (
            SMALL + SMALL[SMALL.index("[[cameras]]") :],
            [
                "cameras: 'front' is used more than once; give each a name of its own",
                "rules: 'people' is used more than once; give each a name of its own",
            ],
        ),
    ],
)
def test_names_across_tables(text: str, lines: list[str]) -> None:
    assert invalid(text) == lines


def test_zones_of_two_cameras_may_share_a_name() -> None:
    polygon = "polygon = [[0, 0], [1, 0], [1, 1]]"
    text = SMALL + '[[cameras]]\nname = "back"\nsource = "/srv/back.avi"\n'
    for camera in ("front", "back"):
        text += f'[[zones]]\nname = "path"\ncamera = "{camera}"\n{polygon}\n'
    assert len(check_config(tomllib.loads(text), "agent.toml").zones) == 2
    twice = f'[[zones]]\nname = "path"\ncamera = "back"\n{polygon}\n'
    assert invalid(text + twice) == ["zones: 'back/path' is used more than once; give each a name of its own"]


def test_every_mistake_is_told_at_once() -> None:
    text = with_line("", "devise = 1\nlog_level = 'loud'").replace("front.avi", "front.avi\\u0000")
    keys = {line.partition(":")[0] for line in invalid(text)}
    assert keys == {"devise", "log_level", "cameras[0].source"}


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"device = ", "is not TOML: Invalid value (at end of document)"),
        (b"device = 'a'\ndevice = 'b'", "is not TOML: Cannot overwrite a value"),
        (b"\xff\xfe\x00", "can't be read: 'utf-8' codec"),
        (b"x = " + b"9" * 5000, "is not TOML"),
        (b"x = " + b"[" * 20_000, "is not TOML"),
        (b"#" * (MAX_CONFIG_BYTES + 1), f"is over {MAX_CONFIG_BYTES} bytes"),
        (b"", "device: is missing; add it"),
    ],
)
def test_a_file_that_is_none(tmp_path: Path, content: bytes, said: str) -> None:
    with pytest.raises(ConfigInvalid) as refused:
        load_config(written(tmp_path, content))
    assert said in str(refused.value)
    assert "agent.toml" in str(refused.value)


def test_a_path_that_is_no_file(tmp_path: Path) -> None:
    with pytest.raises(ConfigInvalid, match=r"there is no file .*nowhere\.toml\. Name the agent's TOML file"):
        load_config(tmp_path / "nowhere.toml")
    with pytest.raises(ConfigInvalid, match=r"can't be read: .*Is a directory"):
        load_config(tmp_path)
    with pytest.raises(ConfigInvalid, match="is over"):
        load_config(Path("/dev/zero"))


def test_a_byte_order_mark_is_no_mistake(tmp_path: Path) -> None:
    assert load_config(written(tmp_path, b"\xef\xbb\xbf" + SMALL.encode())).device == "gate-1"


def test_the_environment_comes_before_the_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("VEDETTE_DATA_DIR", "/elsewhere")
    monkeypatch.setenv("VEDETTE_LINK__URL", "mqtt://other:1884")
    monkeypatch.setenv("VEDETTE_TOKEN", "a token is no setting")
    config = load_config(written(tmp_path, FULL))
    assert config.data_dir == Path("/elsewhere")
    assert config.link.url == "mqtt://other:1884"
    assert config.link.protocol == "auto", "the rest of the table is the file's"


def test_a_mistake_in_the_environment_names_the_variable(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("VEDETTE_LINK__WINDOW", "many")
    (line,) = invalid(SMALL)
    assert line.startswith("link.window: ")
    assert line.endswith("(set by VEDETTE_LINK__WINDOW in the environment)")


def test_a_table_in_the_environment_must_be_json(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("VEDETTE_CAMERAS", "front, back")
    (line,) = invalid(SMALL)
    assert '"cameras"' in line
    assert "JSON" in line


def test_the_exit_code_of_a_wrong_configuration(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = written(tmp_path, with_line("", "devise = 1"))
    assert main(["run", "--config", str(path)]) == 78
    assert main(["check", "--config", str(tmp_path / "gone.toml")]) == 78
    out, err = capsys.readouterr()
    assert out == ""
    assert f"ConfigInvalid: {path} can't be used:\n  devise: unknown key" in err
    assert "ConfigInvalid: there is no file" in err


KEYS = st.one_of(
    st.sampled_from([*Config.model_fields, "name", "source", "url", "polygon", "labels", "camera", "_env_file"]),
    st.text(max_size=8),
)
SCALARS = st.one_of(
    st.booleans(),
    st.integers(),
    st.floats(),
    st.text(max_size=12),
    st.datetimes(),
    st.just(dt.time(1)),
    st.sampled_from(["mqtt://a:b@c", "rtsp://[", "http://\u2100/", "person", "front"]),
)
VALUES = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(KEYS, inner, max_size=4),
    max_leaves=12,
)


@pytest.mark.parametrize(
    ("folder", "why"),
    [
        ("nobody", "no device is enrolled in"),
        ("damaged", "is damaged"),
        ("null\0", "is no path"),
        ("two\nlines", "no device is enrolled in"),
    ],
)
def test_an_identity_that_is_none_is_one_line_among_all_that_is_wrong(tmp_path: Path, folder: str, why: str) -> None:
    (tmp_path / "damaged").mkdir()
    (tmp_path / "damaged" / "enrolment.json").write_text('{"device": "gate"')
    values = {**tomllib.loads(SMALL), "identity": str(tmp_path / folder), "colour": "red"}
    del values["device"]
    with pytest.raises(ConfigInvalid) as refused:
        check_config(values, "agent.toml")
    first, *lines = str(refused.value).split("\n")
    assert first == "agent.toml can't be used:"
    assert [line.split(":")[0] for line in lines] == ["  colour", "  identity"]
    assert why in lines[1]


@given(st.dictionaries(KEYS, VALUES, max_size=8), st.booleans())
@settings(max_examples=100, deadline=None)
def test_whatever_toml_holds_is_taken_or_refused_by_name(values: dict, on_top: bool) -> None:
    base = tomllib.loads(SMALL) if on_top else {}
    try:
        config = check_config({**base, **values}, "agent.toml")
    except ConfigInvalid as refused:
        first, *lines = str(refused).split("\n")
        assert first == "agent.toml can't be used:"
        assert lines
        assert all(line.startswith("  ") and line.isprintable() for line in lines)
    else:
        assert config.cameras


# --- what may leave -----------------------------------------------------------------------------------------------


def hiding(hide: str, *, camera: str = "", rule: str = "", ask: str = '[ask]\nurl = "https://cloud"\n') -> dict:
    lines = SMALL.replace(
        'source = "/srv/front.avi"', f'source = "/srv/front.avi"\n{camera}redaction = {{ hide = "{hide}" }}'
    )
    return tomllib.loads(lines + rule + ask)


@pytest.mark.parametrize(
    ("values", "said"),
    [
        (hiding("people"), ["rule 'people' asks the cloud about people", "cameras[0].audit = { per_hour = 0 }"]),
        (hiding("people", camera="audit = { per_hour = 0 }\n"), ["rule 'people' asks the cloud about people"]),
        (hiding("people", rule='picture = "never"\n'), ["cameras[0].audit = { per_hour = 0 }"]),
        (
            hiding("heads"),
            [
                "an audit of frames with heads hidden",
            ],
        ),
        (hiding("all-but-asked"), ["all-but-asked hidden would judge the device by what is left"]),
        (hiding("all-but-asked", camera="audit = { probability = 0.1 }\n"), ["cameras[0].audit"]),
        (
            hiding("all-but-asked", camera="audit = { per_hour = 0 }\n", rule="context = true\n"),
            ["rule 'people' asks with context, of which 'all-but-asked' leaves nothing to be seen; hide less"],
        ),
        (hiding("faces"), ["cameras[0].redaction.hide: Input should be 'nothing', 'people', 'heads'"]),
    ],
)
def test_what_would_ask_about_what_is_hidden_is_refused(values: dict, said: list[str]) -> None:
    with pytest.raises(ConfigInvalid) as refused:
        check_config(values, "agent.toml")
    lines = str(refused.value).split("\n")[1:]
    assert len(lines) == len(said)
    assert all(words in line for words, line in zip(said, lines, strict=True))


@pytest.mark.parametrize(
    "values",
    [
        hiding("heads", camera="audit = { per_hour = 0 }\n"),
        hiding("heads", ask=""),
        hiding("people", ask=""),
        hiding("people", camera="audit = { per_hour = 0 }\n", rule='picture = "never"\n'),
        hiding("all-but-asked", camera="audit = { per_hour = 0 }\n"),
        hiding("nothing"),
    ],
)
def test_what_can_be_hidden_is_taken(values: dict) -> None:
    assert check_config(values, "agent.toml").cameras[0].redaction.people == ("person",)


def test_an_objective_needs_audits_for_what_is_missed(tmp_path: Path) -> None:
    asked = SMALL + '[ask]\nurl = "https://cloud.example"\n[audit]\nper_hour = 0\n'
    [line] = invalid(asked + "[objective]\nmax_miss_rate = 0.1\n")
    assert line.startswith("objective.max_miss_rate: no frame of front is drawn for audit; set audit.per_hour")
    config = load_config(written(tmp_path, asked + "[objective]\nmax_false_alerts_per_day = 2\n"))
    assert config.objective is not None
    [line] = invalid(
        asked.replace('avi"', 'avi"\nobjective = { max_miss_rate = 0.1 }\nbands = []')
        + "[objective]\nmax_false_alerts_per_day = 2\n"
    )
    assert line.startswith("cameras[0].objective.max_miss_rate")


def test_an_objective_is_held_against_each_cameras_own_audits(tmp_path: Path) -> None:
    objective = "[objective]\nmax_miss_rate = 0.1\n"
    never = SMALL.replace('avi"', 'avi"\naudit = { per_hour = 0 }')
    [line] = invalid(never + '[ask]\nurl = "https://cloud.example"\n' + objective)
    assert line.startswith("objective.max_miss_rate: no frame of front is drawn for audit")
    often = SMALL.replace('avi"', 'avi"\naudit = { probability = 0.01 }')
    asked = often + '[ask]\nurl = "https://cloud.example"\n[audit]\nper_hour = 0\n' + objective
    assert load_config(written(tmp_path, asked)).objective is not None


@pytest.mark.parametrize(
    ("table", "key", "enough"),
    [
        ('[asking.budget]\nbytes = "20kB/day"', "asking.budget.bytes", "68kB/day"),
        ('[asking.budget]\nbytes = "1B/month"', "asking.budget.bytes", "68kB/month"),
        ('[asking.budget.each_camera]\nbytes = "50kB/hour"', "asking.budget.each_camera.bytes", "68kB/hour"),
        ('[asking.budget.cameras.front]\nbytes = "9kB/hour"', "asking.budget.cameras.front.bytes", "68kB/hour"),
        (
            '[asking.objects]\nenabled = false\n[asking.budget]\nbytes = "42kB/hour"',
            "asking.budget.bytes",
            "43kB/hour",
        ),
    ],
)
def test_a_budget_that_never_holds_a_question_is_refused_with_one_that_does(
    tmp_path: Path, table: str, key: str, enough: str
) -> None:
    asked = SMALL + '[ask]\nurl = "https://cloud.example"\n'
    [line] = invalid(asked + table)
    assert line.startswith(f"{key}: ")
    assert f'write "{enough}" or more, or "0kB/' in line
    amount = re.search('bytes = "(.+?)"', table)
    assert amount is not None
    for fine in (enough, "0kB/day"):
        load_config(written(tmp_path, asked + table.replace(amount[1], fine)))
    load_config(written(tmp_path, SMALL + table))


@pytest.mark.parametrize(
    ("rule", "camera", "table", "key", "enough"),
    [
        ("", "", 'bytes = "80kB/day"', "asking.budget.bytes", "94kB/day"),
        ("urgent = true", "", 'bytes = "69kB/month"', "asking.budget.bytes", "71kB/month"),
        ("", "", 'each_camera = { bytes = "80kB/hour" }', "asking.budget.each_camera.bytes", "94kB/hour"),
        (
            "",
            "",
            'each_camera = { bytes = "1MB/hour" }\ncameras = { front = { bytes = "80kB/hour" } }',
            "asking.budget.cameras.front.bytes",
            "94kB/hour",
        ),
        ("", "width = 1920\nheight = 1080", 'bytes = "1MB/day"', "asking.budget.bytes", "1426kB/day"),
    ],
)
def test_a_budget_that_never_holds_a_whole_frame_beside_a_rule_that_shows_it_is_refused(
    tmp_path: Path, rule: str, camera: str, table: str, key: str, enough: str
) -> None:
    cameras = "".join(
        f'[[cameras]]\nname = "{name}"\nsource = "/dev/video{number}"\n{camera}\n'
        for number, name in enumerate(("front", "back"))
    )
    text = (
        f'device = "gate-1"\ndata_dir = "data"\n{cameras}'
        f'[[rules]]\nname = "anyone"\nlabels = ["person"]\ncontext = true\n{rule}\n'
        f'[ask]\nurl = "https://cloud.example"\n[asking.budget]\n{table}\n'
    )
    [line] = invalid(text)
    assert line.startswith(f"rules[0].context: {key} = ")
    assert f'write "{enough}" or more, or set context to false' in line
    amount = re.findall('bytes = "(.+?)"', table)[-1]
    for fine in (
        text.replace(amount, enough),
        text.replace(amount, "0kB/day"),
        text.replace("context = true", ""),
        text.replace("context = true", 'context = true\npicture = "never"'),
    ):
        load_config(written(tmp_path, fine))
