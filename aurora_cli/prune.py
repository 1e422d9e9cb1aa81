"""``aurora prune --plan`` and ``aurora retire``: what could be freed on the hosts, and here."""

from datetime import UTC, datetime, timedelta
from pathlib import Path

import click

from aurora_cli.console import say, show_table
from aurora_cli.context import archive_of, begin_to_write, message_of, site_of
from aurora_platform.archive.locations import places_of
from aurora_platform.archive.prune_plan import plan_prune
from aurora_platform.archive.retention import Retired, retire
from aurora_platform.archive.stores import Records
from aurora_platform.config.types import format_duration
from aurora_platform.errors import AuroraError
from aurora_platform.transport.connections import Connections

_DAY = timedelta(days=1)


@click.command()
@click.argument("stream", required=False)
@click.option("--plan", "is_plan", is_flag=True, help="Say what could be freed. There is nothing else that it does.")
@click.option("--files", "are_listed", is_flag=True, help="Print the candidates' relative paths, one a line.")
@click.pass_obj
def prune(file: Path | None, stream: str | None, is_plan: bool, are_listed: bool) -> None:
    """Say what could be pruned on the instrument hosts, of STREAM or of all, and why the rest may not be.

    Nothing is ever pruned by Aurora. A file is a candidate when it is old enough (`archive.prune_after`), and was read
    and found the same on its host, here and in the archive, with fresh evidence of every old day of its stream.
    """
    if not is_plan:
        raise click.UsageError("nothing is pruned here; `aurora prune --plan` says what could be")
    site = site_of(file)
    archive, now = archive_of(site), datetime.now(UTC)
    if stream is not None and stream not in site.streams:
        raise click.UsageError(f"{stream!r} is no stream of {site.name}: {', '.join(site.streams)}")
    last = (now - archive.prune_after).date() - _DAY
    young_than, rows = format_duration(archive.prune_after), []
    begin_to_write(site)  # it may make the evidence
    with Records(site).evidence() as evidence:
        for name in [stream] if stream else site.streams:
            plan = plan_prune(name, site.streams[name], archive, evidence, now)
            if are_listed:
                for path in plan.candidates:
                    click.echo(path)
                if not plan.candidates:
                    say(f"{name}: none: {plan.why}", to_stderr=True)
                continue
            old, old_bytes, young, young_bytes = evidence.old_files(name, last)
            stay = old - len(plan.candidates)
            rows.append(
                [
                    name,
                    f"{len(plan.candidates)} files, {_size(plan.bytes)}",
                    f"{stay} files, {_size(old_bytes - plan.bytes)}",
                    f"{young} files, {_size(young_bytes)}",
                    plan.why,
                ]
            )
    if not are_listed:
        show_table(
            f"{site.name}: what the hosts have, by the evidence of now (nothing is pruned)",
            [
                "stream",
                "could be freed",
                "old, and may not be",
                f"younger than {young_than}",
                "why",
            ],
            rows,
        )


@click.command(name="retire")
@click.argument("stream")
@click.option("--apply", "is_applied", is_flag=True, help="Delete. Without this it is only said what would be deleted.")
@click.pass_obj
def retire_command(file: Path | None, stream: str, is_applied: bool) -> None:
    """Delete our own working copies of STREAM that are older than the site file keeps them (`retention.raw`).

    Off unless the site file says how old. Only files of finalized days; each is read here and in the archive
    immediately before, and stays where the two are not the same. Every deletion is logged below `paths.manifests`;
    `retention.files_per_run` go at most. Directories are left.
    """
    site = site_of(file)
    archive_of(site)
    if stream not in site.streams:
        raise click.UsageError(f"{stream!r} is no stream of {site.name}: {', '.join(site.streams)}")
    places = places_of(site, stream, Connections.of(site))
    [here], (there, *_) = places["local"], places["gws"]
    try:
        done = retire(Records(site), stream, here, there, dry_run=not is_applied, log=lambda text: say(text, "dim"))
    except AuroraError as error:
        raise click.ClickException(message_of(error)) from None
    _show(stream, done)


def _show(stream: str, done: Retired) -> None:
    say(f"{stream}: {done.summary()}" + (" (dry run; --apply deletes)" if done.dry_run else ""))
    for path in done.first:
        say(f"  {path}", "dim")
    if done.files > len(done.first):
        say(f"  and {done.files - len(done.first)} more", "dim")
    for reason, count in sorted(done.kept.items()):
        say(f"  {count.total} stay: {reason}: {', '.join(count.first[:3])}", "yellow")


def _size(count: int) -> str:
    return f"{count / 1e9:.2f} GB" if count >= 10**9 else f"{count / 1e6:.1f} MB"
