"""The lists by which the long tests are run are about files that there are."""

from __future__ import annotations

import ast
from pathlib import Path

from tests.scheduling import DOCKER, LONGEST

TESTS = Path(__file__).parents[1]


def imported(file: Path) -> set[str]:
    """The names that it takes from where engines are started."""
    tree = ast.parse(file.read_text("utf-8"))
    froms = (node for node in ast.walk(tree) if isinstance(node, ast.ImportFrom))
    return {name.name for node in froms if node.module == "tests.system.docker_engine" for name in node.names}


def test_no_two_files_start_a_docker_engine_at_a_time() -> None:
    starting = {str(file.relative_to(TESTS.parent)) for file in TESTS.rglob("*.py") if "engine" in imported(file)}
    assert starting == DOCKER


def test_the_longest_are_there() -> None:
    assert [name for name in LONGEST if not (TESTS / name).is_file()] == []
