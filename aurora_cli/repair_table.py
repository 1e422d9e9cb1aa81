"""Shows the steps of a repair: a table of the first files, and the number of each kind of step."""

from collections import Counter
from collections.abc import Sequence

from aurora_cli.console import print_line, print_table
from aurora_platform.archive.repair import RepairKind, RepairStep
from aurora_platform.text import counted

_MOST_ROWS = 40


def show_steps(title: str, steps: Sequence[RepairStep], *, is_applied: bool, command: str, target: str) -> None:
    """Print the steps of a repair.

    Parameters
    ----------
    title
        What is repaired.
    is_applied
        Whether the repair follows, or this is a dry run.
    command
        The command that repairs, for a dry run.
    target
        See :func:`reason_of`.
    """
    print_table(
        f"{title}: {counted(len(steps), 'wrong file')}" + ("" if is_applied else " (dry run)"),
        ["file", "bytes", "problem", "repair" if is_applied else "repair (dry run)", "reason"],
        [
            [step.path, str(step.right.size if step.right else 0), step.wrong, step.kind, reason_of(step, target)]
            for step in steps[:_MOST_ROWS]
        ],
    )
    if len(steps) > _MOST_ROWS:
        print_line(f"and {len(steps) - _MOST_ROWS} more; all of them:")
    if len(steps) > 1:
        for (wrong, kind), number in Counter((step.wrong, step.kind) for step in steps).most_common():
            repair = "not repaired by this command" if kind is RepairKind.NONE else kind
            print_line(f"  {counted(number, 'file')} {wrong}: {repair}")
    if not is_applied and any(step.kind is not RepairKind.NONE for step in steps):
        print_line(f"next: {command}")


def reason_of(step: RepairStep, target: str) -> str:
    """The reason of a step, with the commands that it names in full.

    ``target`` is what they are about: ``wxcam --day 2026-08-18``, or a collection of products.
    """
    why = step.why
    for command, option in (("aurora sync", ""), ("aurora accept", ""), ("aurora accept", " --lost")):
        why = why.replace(f"`{command}{option}`", f"`{command} {target}{option}`")
    return why
