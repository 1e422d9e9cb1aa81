"""The job ``look_at_this_machine``: shows the versions of this machine's tools and the space on its disks.

An operator starts it. It needs ``dagster-shell``, which no resolver can install beside our Dagster (pyproject.toml says
why); without that package the job does not exist.
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
    """The job; without ``dagster-shell`` an empty list, and a warning in the log of the code location."""
    if importlib.util.find_spec("dagster_shell"):
        return [_tools_job(disks)]
    _LOG.warning(
        "dagster-shell is not installed: there is no job look_at_this_machine (`aurora audit` says what to do)"
    )
    return []


def _tools_job(disks: Sequence[Path]) -> JobDefinition:
    """A job that only reads: the versions of the tools, and the space on ``disks``."""
    commands = [["rsync", "--version"], ["ssh", "-V"], ["find", "--version"], ["df", "-h", *map(str, disks)]]

    @op(name="look_at_tools", description="Show versions and disk space. Fails if a tool is missing, with all output.")
    def show_tools(context: OpExecutionContext) -> str:
        with warnings.catch_warnings():
            # Dagster warns that the version differs from its own; requirements.lock has the pair that we tested.
            warnings.simplefilter("ignore")
            from dagster_shell import execute_shell_command

        script = "; ".join(f"{shlex.join(command)} || failed=1" for command in commands)
        script += '; exit "${failed:-0}"'
        output, code = execute_shell_command(script, output_logging="STREAM", log=context.log)
        if code:
            raise Failure(f"ended with exit code {code}: {output}")
        return str(output)

    @job(
        name="look_at_this_machine",
        description="Shows this machine's versions of rsync, ssh and find, and the space on the disks. Read-only.",
    )
    def show_this_machine() -> None:
        show_tools()

    return show_this_machine
