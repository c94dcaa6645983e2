"""Pixels leave through one door, and nothing leaves over HTTP without a receipt."""

from __future__ import annotations

import ast
import functools
from pathlib import Path

ROOT = Path(__file__).parents[2] / "agent"

ENCODERS = {"imencode", "imencodemulti", "imwrite", "imwritemulti", "VideoWriter"}
MAY_ENCODE = {
    "adapters/crops.py": "encode_jpeg, which takes Redacted pictures only",
    "adapters/clip_file.py": "the clips' writer, which takes Redacted pictures only",
    "deliver/stream_cost.py": "counts the bytes of an encoded frame, and lets go of it",
}
MAY_MAKE_REDACTED = {"redact/door.py"}
MAY_SEND = {
    "adapters/cloud_http.py": "every upload, each with a receipt",
    "adapters/tuf_fetcher.py": "asks for updates; sends no body",
    "adapters/lean_httpx.py": "imports the client's library for the others",
    "app/enrol.py": "sends a certificate's request, by hand or a fortnight before it ends",
}
CLIENTS = {"AsyncClient", "Client", "HTTPConnection", "HTTPSConnection", "HTTPTransport", "AsyncHTTPTransport"}


@functools.cache
def calls() -> list[tuple[str, str]]:
    """Every call in the agent, as file and the last part of what is called."""
    found = []
    for file in sorted(ROOT.rglob("*.py")):
        for node in ast.walk(ast.parse(file.read_text())):
            if isinstance(node, ast.Call):
                called = node.func
                name = called.attr if isinstance(called, ast.Attribute) else getattr(called, "id", "")
                found.append((file.relative_to(ROOT).as_posix(), name))
    return found


def test_pixels_are_encoded_in_known_places_only() -> None:
    assert {file for file, name in calls() if name in ENCODERS} == set(MAY_ENCODE)


def test_only_the_door_makes_pictures_that_may_be_encoded() -> None:
    assert {file for file, name in calls() if name == "Redacted"} == MAY_MAKE_REDACTED


def test_what_encodes_for_sending_takes_pictures_of_the_door_only() -> None:
    for file, function in (("adapters/crops.py", "encode_jpeg"), ("adapters/clip_file.py", "add")):
        tree = ast.parse((ROOT / file).read_text())
        found = next(
            node
            for node in ast.walk(tree)
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and node.name == function
        )
        picture = next(one for one in found.args.args if one.arg == "picture")
        assert isinstance(picture.annotation, ast.Name)
        assert picture.annotation.id == "Redacted"


def test_http_leaves_from_known_places_only() -> None:
    assert {file for file, name in calls() if name in CLIENTS} <= set(MAY_SEND)
    assert "adapters/cloud_http.py" in {file for file, name in calls() if name in CLIENTS}
