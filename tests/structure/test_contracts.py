"""The structure that the design promises, held against the code; each rule says why it is one."""

import ast
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent.parent
PACKAGES = ("wire", "vision", "agent", "cloud", "workbench")
SOURCES = sorted(
    path for package in PACKAGES for path in (ROOT / package).rglob("*.py") if "node_modules" not in path.parts
)


def test_import_contracts_hold():
    """Layers, strangers and pure modules: see the reasons in pyproject.toml."""
    done = subprocess.run(
        [str(Path(sys.executable).parent / "lint-imports")], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: str(path.relative_to(ROOT)))
def test_a_module_says_what_it_is_and_swallows_nothing(path):
    """A broad except that goes on turns an outage into "nothing seen"; one that cleans up and raises does not."""
    tree = ast.parse(path.read_text("utf-8"))
    if tree.body:
        assert ast.get_docstring(tree), "has no docstring"
    for node in ast.walk(tree):
        if isinstance(node, ast.ExceptHandler):
            names = {n.id for n in ast.walk(node.type) if isinstance(n, ast.Name)} if node.type else {"everything"}
            goes_on = not (isinstance(node.body[-1], ast.Raise) and node.body[-1].exc is None)
            assert not (goes_on and names & {"everything", "Exception", "BaseException"}), (
                f"line {node.lineno} catches {names}, and goes on"
            )


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: str(path.relative_to(ROOT)))
def test_nothing_is_raised_inside_except_star(path):
    """Python before 3.11.4, which Debian 12 has, wraps it in a group that nobody outside expects."""
    handlers = [
        handler
        for node in ast.walk(ast.parse(path.read_text("utf-8")))
        if isinstance(node, ast.TryStar)
        for handler in node.handlers
    ]
    assert [node.lineno for handler in handlers for node in ast.walk(handler) if isinstance(node, ast.Raise)] == []


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: str(path.relative_to(ROOT)))
def test_names_say_what_a_thing_is(path):
    """A module of odds and ends has no reader."""
    assert not re.search(r"util|helper|manager|handler|misc|common", path.stem)


def test_the_device_starts_without_the_clouds_dependencies():
    """A device installs `vedette[agent]` only; whatever any command of it imports must be in that extra."""
    script = (
        "import sys, importlib, pkgutil, agent\n"
        "for one in pkgutil.walk_packages(agent.__path__, 'agent.'): importlib.import_module(one.name)\n"
        "cloud = set('fastapi starlette uvicorn sqlalchemy alembic obstore rich typer nats nkeys'.split())\n"
        "cloud.add('prometheus_client')\n"
        "loaded = {name.split('.')[0] for name in sys.modules}\n"
        "sys.exit(', '.join(sorted(loaded & (cloud | {'cloud','workbench'}))) or 0)"
    )
    done = subprocess.run([sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("program", ["agent", "workbench"])
def test_help_waits_for_nothing_that_takes_long_to_import(program):
    """What a command stands on is imported once it is typed: numpy, OpenCV and pydantic take seconds on a device."""
    script = (
        "import runpy, sys\n"
        "sys.argv[1:] = ['--help']\n"
        f"try: runpy.run_module({program!r}, run_name='__main__')\n"
        "except SystemExit as end: assert not end.code\n"
        "slow = set('numpy cv2 pydantic httpx tuf aiomqtt asyncio sqlalchemy fastapi cryptography'.split())\n"
        "sys.exit(', '.join(sorted(slow & sys.modules.keys())) or 0)"
    )
    done = subprocess.run([sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "run" in done.stdout


def test_the_projects_files_name_no_machine():
    """A path of one machine or a registry's host in a commit breaks every other machine."""
    git = shutil.which("git")
    if git is None or not (ROOT / ".git").exists():
        pytest.skip("not a git checkout")
    tracked = subprocess.run([git, "ls-files"], cwd=ROOT, capture_output=True, text=True, check=True).stdout.split()
    bad = re.compile(r"/work/|/root/|/home/[a-z]|registry\.npmjs|files\.pythonhosted|pypi\.org|deb\.debian\.org")
    found = [
        f"{name}:{number}"
        for name in tracked
        if (ROOT / name).is_file() and name != "tests/structure/test_contracts.py"
        for number, line in enumerate((ROOT / name).read_text("utf-8", "ignore").splitlines(), 1)
        if bad.search(line)
    ]
    assert found == []
