"""Dagster's web server behind our cover: ``python -m aurora_assets.instance.web_server``; ``aurora ui`` starts it.

Dagster's own command has no place for an ASGI application around its own, so its few steps are done here.
"""

from __future__ import annotations

import argparse
import os
from pathlib import Path

import uvicorn
from dagster import DagsterInstance
from dagster._core.workspace.context import WorkspaceProcessContext
from dagster._core.workspace.load_target import WorkspaceFileTarget
from dagster_webserver.app import create_app_from_workspace_process_context
from dagster_webserver.version import __version__

from aurora_platform.operations.ui_cover import ASKED_FOR, Access, Cover

_STATEMENT_MS, _RECYCLE_SECONDS, _MOST_OVERFLOW = 15_000, 3600, 20  # as Dagster's own command has them


def main() -> None:
    """Serve until a signal comes."""
    options = _parse()
    access = Access.of(
        options.host,
        options.port,
        tuple(options.name),
        os.environ.pop(ASKED_FOR, ""),  # no run inherits it
        is_read_only=options.read_only,
        is_open=options.open,
    )
    target = WorkspaceFileTarget(paths=[str(options.workspace)])
    with (
        DagsterInstance.get() as instance,
        WorkspaceProcessContext(instance, target, version=__version__, read_only=options.read_only) as context,
    ):
        instance.optimize_for_webserver(_STATEMENT_MS, _RECYCLE_SECONDS, _MOST_OVERFLOW)
        app = create_app_from_workspace_process_context(context)
        uvicorn.run(Cover(app, access), host=options.host, port=options.port, log_level="warning")


def _parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--workspace", type=Path, required=True)
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=3000)
    parser.add_argument("--name", action="append", default=[])
    parser.add_argument("--read-only", action="store_true")
    parser.add_argument("--open", action="store_true")
    return parser.parse_args()


if __name__ == "__main__":
    main()
