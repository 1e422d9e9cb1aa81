"""The group ``aurora``, the table of its verbs, and the option that all of them share."""

from pathlib import Path

import click

from aurora_cli import process
from aurora_cli.lazy_group import LazyGroup, Verb

VERBS = {
    "demo": Verb(
        "aurora_cli.demo:demo",
        "Create a demo site in DIR (./aurora-demo): a site file, Dagster's settings, and a day of a simulated camera.",
    ),
    "init": Verb(
        "aurora_cli.init:init",
        "Write a site file: ask, list a few files of the host, and propose the rules by which they are mirrored.",
    ),
    "audit": Verb("aurora_cli.audit:audit", "Check that this machine, every host and the archive are ready for use."),
    "ui": Verb("aurora_cli.ui:ui", "Run the Dagster UI, its daemon and its code server; Ctrl-C ends them."),
    "status": Verb(
        "aurora_cli.status:status",
        "Show the newest file of every stream, at the source and local, and how many files are missing.",
    ),
    "sync": Verb("aurora_cli.sync:sync", "Copy missing and changed files of STREAM from its host."),
    "explain": Verb(
        "aurora_cli.explain:explain_command",
        "Explain a FILE, or an ASSET/DAY: its state and why, its copies, its runs, and what happens next.",
    ),
    "health": Verb("aurora_cli.health:health", "Show what is wrong at the site, since when, and what to do next."),
    "alert": Verb(
        "aurora_cli.alert:alert", "Evaluate the alerts from latest.json, and send one mail if something has changed."
    ),
    "ledger": Verb(
        "aurora_cli.ledger:ledger", "Show the ledger: files copied to the archive, verified, queued and parked."
    ),
    "catalog": Verb(
        "aurora_cli.catalog:catalog",
        "Show the camera's catalogue: rows, newest file, and whether every page of it can be read.",
    ),
    "evidence": Verb(
        "aurora_cli.evidence:evidence", "Show the evidence: what is recorded of the files of each stream."
    ),
    "repair": Verb(
        "aurora_cli.repair:repair", "Repair wrong files of STREAM on one day, in the local copy and in the archive."
    ),
    "accept": Verb(
        "aurora_cli.accept:accept", "Accept changes or losses of finished days, which Aurora does not accept by itself."
    ),
    "drill": Verb(
        "aurora_cli.drill:drill_command",
        "Restore a finalized day from the archive as a test: fetch it, and compare every file with its manifest.",
    ),
    "prune": Verb(
        "aurora_cli.prune:prune",
        "Show what could be pruned on the instrument hosts, and why the rest may not be.",
    ),
    "retire": Verb(
        "aurora_cli.prune:retire_command", "Delete local copies of STREAM that are older than `retention.raw.STREAM`."
    ),
}
"""What ``aurora --help`` shows, in this order. A verb is loaded when it is called, and not before."""


@click.group(cls=LazyGroup, verbs=VERBS, context_settings={"help_option_names": ["-h", "--help"]})
@click.option(
    "--site",
    "file",
    type=click.Path(path_type=Path, dir_okay=False),
    envvar="AURORA_SITE",
    show_envvar=True,
    metavar="FILE",
    help="Site file.  [default: the demo's]",
)
@click.version_option(package_name="aurora-platform", prog_name="aurora")
@click.pass_context
def main(ctx: click.Context, file: Path | None) -> None:
    """Inspect an observatory and mirror its streams from a shell.

    `aurora COMMAND --help` describes a command: what it writes, its exit codes, and an example.
    """
    ctx.obj = file


if __name__ == "__main__":
    process.is_program = True
    main(prog_name="aurora")
