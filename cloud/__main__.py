"""`python -m cloud`: the service without the workbench."""

from __future__ import annotations

from cloud.cli import app
from cloud.cli.standard_output import run

if __name__ == "__main__":
    run(app)
