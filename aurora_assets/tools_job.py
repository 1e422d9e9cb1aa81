"""The one job of ``dagster-shell``: a look at this machine's tools and disks, started by an operator.

No resolver can install that package beside our Dagster (pyproject.toml says why): without it there is no such job.
"""

import importlib.util
import logging
import shlex
import warnings
from collections.abc import Sequence
from pathlib import Path

from dagster import Failure, JobDefinition, OpExecutionContext, job, op

_LOG = logging.getLogger("aurora")


def tools_jobs(disks: Sequence[Path]) -> list[JobDefinition]:
    """The job; none, and a line in the log of the code location, where ``dagster-shell`` is not installed."""
    if importlib.util.find_spec("dagster_shell"):
        return [_tools_job(disks)]
    _LOG.warning(
        "dagster-shell is not installed: there is no job look_at_this_machine (`aurora audit` says what to do)"
    )
    return []


def _tools_job(disks: Sequence[Path]) -> JobDefinition:
    """A job that looks, and changes nothing: the versions of the tools, and the space on the disks of ``disks``."""
    looks = [["rsync", "--version"], ["ssh", "-V"], ["find", "--version"], ["df", "-h", *map(str, disks)]]

    @op(description="Say what there is; a tool that is missing fails it, with what all have said.")
    def look_at_tools(context: OpExecutionContext) -> str:
        with warnings.catch_warnings():
            # Its version is not Dagster's any more, of which Dagster warns; requirements.lock is what we tested.
            warnings.simplefilter("ignore")
            from dagster_shell import execute_shell_command

        each = "; ".join(f"{shlex.join(look)} || failed=1" for look in looks)
        said, code = execute_shell_command(f'{each}; exit "${{failed:-0}}"', output_logging="STREAM", log=context.log)
        if code:
            raise Failure(f"ended with exit code {code}: {said}")
        return str(said)

    @job(description="Look at this machine: versions of rsync, ssh and find, and the space on the disks. Read-only.")
    def look_at_this_machine() -> None:
        look_at_tools()

    return look_at_this_machine
