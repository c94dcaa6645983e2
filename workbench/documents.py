"""Writes the documents that are generated from the code into `docs`, or says which are out of date.

Some are generated whole. Of others, which people write, it fills the parts between `<!-- generated: NAME … -->` and
`<!-- end -->`.
"""

from __future__ import annotations

import argparse
import json
import re
import sys
from pathlib import Path
from typing import Any, Final, cast

from agent.config import Config
from agent.decide.lifecycle import MOVES, Phase
from cloud.config import Settings
from cloud.web.admission import DoorSettings
from cloud.web.api import read_router
from cloud.web.audits import audits_router, estimates_router
from cloud.web.health import health_router
from cloud.web.questions import questions_router
from cloud.web.server import make_application
from wire.messages import AlertState
from wire.model import Manifest
from wire.schema import asyncapi, json_schemas
from workbench.metric_tables import agent_metrics, service_metrics
from workbench.reference import reference

FOLDER: Final = Path(__file__).parent.parent / "docs"
PART: Final = re.compile(r"(?s)(?<=\n)<!-- generated: (\w+), by `make documents` -->\n.*?<!-- end -->(?=\n)")


def documents(folder: Path = FOLDER) -> dict[str, str]:
    """File name below `docs` to text, for each document that is generated, or holds a part that is."""
    wholes: dict[str, Any] = {
        "wire.schema.json": json_schemas(),
        "asyncapi.json": asyncapi(),
        "openapi.json": openapi(),
    }
    texts = {
        f"reference/{name}": json.dumps(value, indent=1, ensure_ascii=False) + "\n" for name, value in wholes.items()
    }
    made = parts()
    for path in sorted(folder.glob("*.md")):
        text = path.read_text("utf-8")
        if PART.search(text):
            texts[path.name] = PART.sub(lambda found: _marked(found[1], made[found[1]]), text)
    return texts


def parts() -> dict[str, str]:
    """The generated parts, by name."""
    return {
        "agent_settings": reference(Config, "Top level of the agent's file"),
        "service_settings": reference(Settings, "Top level of the service's file"),
        "manifest": reference(Manifest, "Top level of a manifest", toml=False),
        "lifecycle": lifecycle_diagram(),
        "service_metrics": service_metrics(),
        "agent_metrics": agent_metrics(),
    }


def lifecycle_diagram() -> str:
    """The table of an alert's moves as a Mermaid diagram."""
    lines = ["```mermaid", "stateDiagram-v2"]
    after = {(to, state) for (_, _, _, state), to in MOVES.items()}
    nodes = [(phase, state) for phase in Phase for state in AlertState if (phase, state) in after]
    lines += [f'    state "{phase}, {state}" as {phase}_{state}' for phase, state in nodes]
    lines += ["    [*] --> unraised"]
    lines += [
        f"    {_node(phase, state)} --> {_node(to, becomes)}: {event}"
        for (phase, state, event, becomes), to in MOVES.items()
    ]
    return "\n".join([*lines, "```"])


def _node(phase: Phase, state: AlertState) -> str:
    return str(phase) if phase is Phase.UNRAISED else f"{phase}_{state}"


NAMED_ANEW: Final = {"413": "Content Too Large", "422": "Unprocessable Content"}
"""Python 3.13 calls these two statuses by their names of RFC 9110, the versions before by older ones."""


def openapi() -> dict[str, Any]:
    """The HTTP interface. Its routes are made, and never called, so nothing needs to stand behind them."""
    nothing = cast("Any", None)
    routers = [
        read_router(alerts=nothing, devices=nothing, pictures=nothing, feed=nothing, clock=nothing),
        health_router({}, dict),
        questions_router(service=nothing, pictures=nothing, tokens=nothing, clock=nothing, settings=DoorSettings()),
        audits_router(service=nothing, tokens=nothing, clock=nothing, settings=DoorSettings()),
        estimates_router(audits=nothing, clock=nothing),
    ]
    document = make_application(routers, static=Path("nowhere")).openapi()
    for path in document["paths"].values():
        for operation in path.values():
            for status, response in operation.get("responses", {}).items():
                response["description"] = NAMED_ANEW.get(status, response["description"])
    return document


def stale(folder: Path = FOLDER) -> list[str]:
    """The names of the documents that differ from what the code says now."""
    return [
        name
        for name, text in documents(folder).items()
        if not (folder / name).is_file() or (folder / name).read_text("utf-8") != text
    ]


def main() -> int:
    """Write, or check with `--check`; 1 where a document is out of date."""
    parser = argparse.ArgumentParser(prog="python -m workbench.documents", description=__doc__)
    parser.add_argument("--check", action="store_true", help="write nothing; exit 1 where a document is out of date")
    arguments = parser.parse_args()
    late = stale()
    if arguments.check:
        for name in late:
            sys.stderr.write(f"docs/{name} is out of date: run `make documents`\n")
        return 1 if late else 0
    (FOLDER / "reference").mkdir(parents=True, exist_ok=True)
    made = documents()
    for name in late:
        (FOLDER / name).write_text(made[name], "utf-8")
    return 0


def _marked(name: str, text: str) -> str:
    return f"<!-- generated: {name}, by `make documents` -->\n{text.rstrip()}\n<!-- end -->"


if __name__ == "__main__":
    sys.exit(main())
