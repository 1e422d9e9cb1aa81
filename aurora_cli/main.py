"""The group ``aurora`` and the option that all its commands share."""

from pathlib import Path

import click

from aurora_cli.alert import alert
from aurora_cli.audit import audit
from aurora_cli.demo import demo
from aurora_cli.health import health
from aurora_cli.ledger import ledger
from aurora_cli.prune import prune, retire_command
from aurora_cli.repair import repair
from aurora_cli.status import status
from aurora_cli.sync import sync


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
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
    """Look at an observatory, and mirror its streams, from a shell.

    \b
    aurora demo [DIR]    a site to try: a site file, and a day of a simulated camera
    aurora audit         before the first start: is everything there that will be needed?
    aurora status        how new is the newest data, there and here?
    aurora sync STREAM   bring files now, as the asset raw/STREAM does
    aurora health        what is wrong, since when, where, and what to look at next
    aurora alert         what is worth a mail, and the mail; --test sends one
    aurora ledger        what was copied to the archive, and what is queued or given up
    aurora repair STREAM --day D   make exactly those files right that are wrong there; a dry run first
    aurora prune --plan  what could be freed on the hosts, and why the rest may not be
    aurora retire STREAM delete old working copies here, where the site file says so; a dry run first
    """
    ctx.obj = file


for command in (health, alert, audit, demo, status, sync, ledger, repair, prune, retire_command):
    main.add_command(command)


if __name__ == "__main__":
    main(prog_name="aurora")
