from __future__ import annotations

import subprocess
import sys

HEAVY = ("rich", "pygments", "click", "typer", "fastapi", "sqlalchemy")


def loaded_by(statement: str) -> set[str]:
    script = f"import sys\n{statement}\nprint(*sorted({{name.partition('.')[0] for name in sys.modules}}))"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=60, check=True)
    return set(done.stdout.split())


def test_the_agent_brings_no_command_line_toolkit_into_memory() -> None:
    loaded = loaded_by("import agent.app.run")
    assert "httpx" in loaded
    assert loaded.isdisjoint(HEAVY)


def test_httpx_works_without_its_command_line() -> None:
    loaded = loaded_by(
        "from agent.adapters.lean_httpx import httpx\n"
        "transport = httpx.MockTransport(lambda request: httpx.Response(200, text='here'))\n"
        "assert httpx.Client(transport=transport).get('http://cloud').text == 'here'\n"
        "assert httpx.main() is None"
    )
    assert loaded.isdisjoint(HEAVY)
