"""`python -m cloud`: the service without the workbench."""

from __future__ import annotations

from cloud.cli import app

if __name__ == "__main__":
    app()
