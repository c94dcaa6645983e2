"""What goes into the Debian package, and what keeps it from being made; the whole is tested in `tests/system`."""

from __future__ import annotations

import argparse
import csv
import importlib.util
import shutil
import subprocess
import zipfile
from pathlib import Path

import pytest

from agent.__main__ import COMMANDS
from agent.command_line import argument_parser
from deploy.debian.build import HERE, HOME, lay_out, main
from deploy.debian.errors import ClosureBroken, LibraryUnknown
from deploy.debian.manpage import manual
from deploy.debian.site import LIBRARIES, check_closure, prune, system_libraries
from deploy.debian.target import TARGETS

AMD64, ARM64 = TARGETS["amd64"], TARGETS["arm64"]
Capture = pytest.CaptureFixture[str]


def distribution(site: Path, name: str, version: str = "1.0", *needs: str) -> None:
    info = site / f"{name}-{version}.dist-info"
    info.mkdir(parents=True)
    lines = [
        f"Metadata-Version: 2.4\nName: {name}\nVersion: {version}",
        *(f"Requires-Dist: {need}" for need in needs),
    ]
    (info / "METADATA").write_text("\n".join([*lines, "", ""]))


# --- what it needs itself -----------------------------------------------------------------------------------------


def test_all_is_there(tmp_path: Path) -> None:
    distribution(tmp_path, "vedette", "0.1", "Runtime>=2; extra == 'agent'", "web; extra == 'cloud'")
    distribution(tmp_path, "runtime", "2.1")
    assert [one.name for one in check_closure(tmp_path, AMD64)] == ["runtime", "vedette"]


def test_extras_that_name_each_other(tmp_path: Path) -> None:
    distribution(tmp_path, "vedette", "0.1", "vedette[base]; extra == 'agent'", "tuf; extra == 'base'")
    with pytest.raises(ClosureBroken, match="vedette needs tuf"):
        check_closure(tmp_path, AMD64)


@pytest.mark.parametrize(
    ("needs", "there", "said"),
    [
        ("runtime>=2", (), "vedette needs runtime>=2"),
        ("runtime>=2", ("1.9",), "vedette needs runtime>=2"),
        ('strenum; python_version < "3.12"', (), "vedette needs strenum"),
    ],
)
def test_something_is_missing(tmp_path: Path, needs: str, there: tuple[str, ...], said: str) -> None:
    distribution(tmp_path, "vedette", "0.1", needs)
    for version in there:
        distribution(tmp_path, "runtime", version)
    with pytest.raises(ClosureBroken, match=said):
        check_closure(tmp_path, AMD64)


def test_conditions_are_held_against_the_target_and_not_this_machine(tmp_path: Path) -> None:
    distribution(tmp_path, "vedette", "0.1", 'armour; platform_machine == "aarch64"', 'new; python_version > "3.11"')
    assert check_closure(tmp_path, AMD64)
    with pytest.raises(ClosureBroken, match="vedette needs armour"):
        check_closure(tmp_path, ARM64)


# --- what it needs of the system ----------------------------------------------------------------------------------


@pytest.mark.skipif(shutil.which("readelf") is None, reason="readelf is not installed")
def test_libraries_of_the_system_by_package(tmp_path: Path) -> None:
    spec = importlib.util.find_spec("numpy._core._multiarray_umath")
    assert spec is not None
    assert spec.origin is not None
    module = Path(spec.origin)
    (tmp_path / module.name).symlink_to(module)
    with pytest.raises(LibraryUnknown, match=r"libscipy_openblas.* is needed and not brought along"):
        system_libraries(tmp_path)
    (tmp_path / "numpy.libs").mkdir()
    for library in (module.parents[2] / "numpy.libs").iterdir():
        (tmp_path / "numpy.libs" / library.name).symlink_to(library)
    found = system_libraries(tmp_path)
    assert LIBRARIES["libc.so.6"] in found
    assert set(found) <= set(LIBRARIES.values())


# --- what stays out -----------------------------------------------------------------------------------------------


def test_what_no_device_needs_goes_from_the_folders_and_the_lists(tmp_path: Path) -> None:
    keep = ["agent/app.py", "numpy/core.py", "numpy/_core/_multiarray_umath.cpython-311-x.so", "cv2/cv2.abi3.so"]
    drop = [
        "cloud/app.py",
        "workbench/demo/run.py",
        "ai_edge_litert/libLiteRt.so",
        "numpy/lib/tests/test_it.py",
        "numpy/_core/_simd.cpython-311-x.so",
        "numpy/_core/_umath_tests.cpython-311-x.so",
        "numpy/f2py/src/test/foo.f",
        "cv2/data/face.xml",
        "cv2/types.pyi",
    ]
    info = tmp_path / "vedette-0.1.dist-info"
    info.mkdir()
    for name in (*keep, *drop):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    (info / "direct_url.json").write_text('{"url": "file:///somebody/s/folder"}')
    (info / "RECORD").write_text("".join(f"{name},,\n" for name in (*keep, *drop)))
    prune(tmp_path)
    left = {str(path.relative_to(tmp_path)) for path in tmp_path.rglob("*") if path.is_file()}
    assert left == {*keep, "vedette-0.1.dist-info/RECORD"}
    assert [row[0] for row in csv.reader((info / "RECORD").open())] == keep


# --- what goes beside it ------------------------------------------------------------------------------------------


def test_everything_has_its_place(tmp_path: Path) -> None:
    site = tmp_path / "site"
    distribution(site, "vedette", "0.1")
    lay_out(tmp_path / "tree", "0.1", check_closure(site, AMD64))
    tree = tmp_path / "tree"
    files = {str(path.relative_to(tree)) for path in tree.rglob("*") if path.is_symlink() or path.is_file()}
    assert {
        "usr/bin/vedette-agent",
        "lib/systemd/system/vedette-agent.service",
        "lib/systemd/system/vedette-agent.service.d/v4l2.conf",
        "usr/share/vedette-agent/systemd/edgetpu.conf",
        "usr/share/vedette-agent/systemd/gpu.conf",
        "etc/vedette/agent.toml",
        "usr/share/man/man1/vedette-agent.1.gz",
        f"{HOME}/pyvenv.cfg",
    } <= files
    assert (tree / "usr/bin/vedette-agent").resolve() == (tree / HOME / "bin/vedette-agent").resolve()
    assert (tree / "usr/bin/vedette-agent").read_text().startswith(f"#!/{HOME}/bin/python3 -I\n")
    assert not [name for name in files if "agent.toml" in name and not name.startswith("etc/")]


def test_the_scripts_are_shell(tmp_path: Path) -> None:
    for name in ("postinst", "prerm", "postrm"):
        subprocess.run(["/bin/sh", "-n", str(HERE / "control" / name)], check=True)


def test_the_manual_names_every_command_and_option() -> None:
    page = manual(argument_parser(COMMANDS), "0.1")
    (commands,) = (
        action for action in argument_parser(COMMANDS)._actions if isinstance(action, argparse._SubParsersAction)
    )
    for name, command in commands.choices.items():
        assert f".SS {name.replace('-', chr(92) + '-')}\n" in page
        for option in command._option_string_actions:
            assert option.replace("-", "\\-") in page
    assert "78 wrong configuration" in page


@pytest.mark.skipif(shutil.which("man") is None, reason="man is not installed")
def test_the_manual_is_sound(tmp_path: Path) -> None:
    page = tmp_path / "vedette-agent.1"
    page.write_text(manual(argument_parser(COMMANDS), "0.1"))
    done = subprocess.run(
        ["/usr/bin/man", "--warnings", "--local-file", str(page)],
        capture_output=True,
        text=True,
        check=True,
        env={"MANROFFSEQ": "", "MANWIDTH": "80", "LC_ALL": "C.UTF-8"},
    )
    assert done.stderr == ""
    assert "vedette-agent run --config FILE" in " ".join(done.stdout.split()).replace(" [-h]", "").replace(
        "[-h] ", ""
    )


# --- what keeps it from being made --------------------------------------------------------------------------------


def test_a_wheel_without_models(tmp_path: Path, capsys: Capture) -> None:
    wheel = tmp_path / "vedette-0.1-py3-none-any.whl"
    with zipfile.ZipFile(wheel, "w") as file:
        file.writestr("agent/__init__.py", "")
    assert main(["--wheel", str(wheel), "--out", str(tmp_path)]) == 1
    assert "holds no models" in capsys.readouterr().err


@pytest.mark.parametrize("content", [None, b"no wheel"])
def test_no_wheel(tmp_path: Path, content: bytes | None, capsys: Capture) -> None:
    wheel = tmp_path / "vedette-0.1-py3-none-any.whl"
    if content is not None:
        wheel.write_bytes(content)
    assert main(["--wheel", str(wheel), "--out", str(tmp_path)]) == 1
    assert "can't be read" in capsys.readouterr().err


def test_what_pip_says_is_passed_on(tmp_path: Path, capsys: Capture) -> None:
    wheel = tmp_path / "vedette-0.1-py3-none-any.whl"
    with zipfile.ZipFile(wheel, "w") as file:
        file.writestr("vision/models/any/manifest.json", "{}")
    assert main(["--wheel", str(wheel), "--out", str(tmp_path), "--arch", "amd64"]) == 1
    said = capsys.readouterr().err
    assert "WheelsMissing: pip could not fetch the wheels for amd64" in said
    assert not list(tmp_path.glob("*.deb"))
