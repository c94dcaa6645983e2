import os
import signal
import sys

import psutil
import pytest

from workbench.demo import processes
from workbench.demo.processes import Children
from workbench.errors import DemoFailed

SLEEPS = "import time; print('up', flush=True); time.sleep(600)"
DEAF = f"import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN); {SLEEPS}"
PARENT = f"""\
import pathlib, sys
from workbench.demo.processes import Children
child = Children(pathlib.Path(sys.argv[1])).start("child", [sys.executable, "-c", {SLEEPS!r}], {{}})
print(child.process.pid, flush=True)
sys.stdin.read()
"""


@pytest.fixture
def children(tmp_path):
    made = Children(tmp_path)
    yield made
    made.stop_all()


def started(children, name, script):
    reading, writing = os.pipe()
    child = children.start(name, [sys.executable, "-c", script], {}, stdout=writing)
    os.close(writing)
    with os.fdopen(reading) as said:
        assert said.readline() == "up\n"
    return child


def test_a_child_is_asked_to_stop_and_stopping_twice_is_harmless(children):
    child = started(children, "one", SLEEPS)
    assert children.stop(child) == -signal.SIGTERM
    assert children.stop(child) == -signal.SIGTERM
    children.stop_all()


def test_a_child_that_does_not_obey_is_killed(children, monkeypatch):
    monkeypatch.setattr(processes, "STOP_S", 0.1)
    child = started(children, "deaf", DEAF)
    assert children.stop(child) == -signal.SIGKILL


def test_a_child_that_died_is_named_with_its_last_words(children):
    child = children.start("gate-1", [sys.executable, "-c", "raise SystemExit('no such camera')"], {})
    child.process.wait(30)
    with pytest.raises(DemoFailed, match=r"gate-1 ended with exit code 1:\n    no such camera"):
        children.check()


def test_a_persons_settings_for_other_programs_do_not_reach_a_child(children, monkeypatch):
    for name in ("VEDETTE_DATA_DIR", "VEDETTE_MODELS_DIR"):
        monkeypatch.setenv(name, "theirs")
    script = "import os; print(sorted(name for name in os.environ if name.startswith('VEDETTE_')))"
    child = children.start("one", [sys.executable, "-c", script], {"VEDETTE_TOKEN": "ours"})
    child.process.wait(30)
    assert child.log.read_text() == "['VEDETTE_MODELS_DIR', 'VEDETTE_TOKEN']\n"


def test_a_child_does_not_outlive_a_parent_that_is_killed(tmp_path):
    parent = psutil.Popen([sys.executable, "-c", PARENT, str(tmp_path)], stdin=-1, stdout=-1, text=True)
    child = psutil.Process(int(parent.stdout.readline()))
    parent.kill()
    parent.communicate()
    gone, alive = psutil.wait_procs([child], timeout=30)
    assert (gone, alive) == ([child], [])
