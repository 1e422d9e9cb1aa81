"""The group ``aurora``, the table of its verbs, and the option that all of them share."""

from pathlib import Path

import click

from aurora_cli.lazy_group import LazyGroup, Verb

VERBS = {
    "demo": Verb(
        "aurora_cli.demo:demo",
        "Write a site to try below DIR (./aurora-demo): a site file, Dagster's settings, and a day of a simulated "
        "camera.",
    ),
    "audit": Verb(
        "aurora_cli.audit:audit",
        "Check, without writing anything, what the platform needs: here, on every host, and in the archive.",
    ),
    "status": Verb(
        "aurora_cli.status:status", "Show each stream's newest data, at the source and here, and what is missing here."
    ),
    "sync": Verb(
        "aurora_cli.sync:sync",
        "Bring the files of STREAM here, as the asset raw/STREAM does; `all` is every enabled stream.",
    ),
    "health": Verb("aurora_cli.health:health", "Say what is wrong, since when, where, and what to look at next."),
    "alert": Verb(
        "aurora_cli.alert:alert",
        "Evaluate the alerts from latest.json, say what is going on, and send one mail if something has changed.",
    ),
    "ledger": Verb(
        "aurora_cli.ledger:ledger",
        "Show what the ledger knows: files copied to the archive, verified there, queued, and given up.",
    ),
    "repair": Verb("aurora_cli.repair:repair", "Make the copies of a day of STREAM right, here and in the archive."),
    "prune": Verb(
        "aurora_cli.prune:prune",
        "Say what could be pruned on the instrument hosts, of STREAM or of all, and why the rest may not be.",
    ),
    "retire": Verb(
        "aurora_cli.prune:retire_command",
        "Delete our own working copies of STREAM that are older than the site file keeps them (`retention.raw`).",
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
    help="The site file; without it the demo's.",
)
@click.version_option(package_name="aurora-platform", prog_name="aurora")
@click.pass_context
def main(ctx: click.Context, file: Path | None) -> None:
    """Look at an observatory, and mirror its streams, from a shell."""
    ctx.obj = file


if __name__ == "__main__":
    main(prog_name="aurora")
