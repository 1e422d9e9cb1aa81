"""``aurora prune --plan`` shows what could be pruned on the hosts; ``aurora retire`` deletes old local copies."""

from datetime import UTC, datetime, timedelta
from pathlib import Path

import click

from aurora_cli.console import print_line, print_table
from aurora_cli.context import describe_error, load_site_or_exit, open_state_or_exit, require_archive
from aurora_platform.archive.locations import places_of
from aurora_platform.archive.prune_plan import plan_prune
from aurora_platform.archive.retention import RetireReport, retire
from aurora_platform.archive.stores import Records
from aurora_platform.config.types import format_duration
from aurora_platform.errors import AuroraError
from aurora_platform.text import counted, human_size
from aurora_platform.transport.connections import Connections

_DAY = timedelta(days=1)


@click.command()
@click.argument("stream", required=False)
@click.option("--plan", "is_plan", is_flag=True, help="Required: show the plan. Aurora never prunes a host.")
@click.option("--files", "are_listed", is_flag=True, help="Print the relative paths of the candidates, one per line.")
@click.pass_obj
def prune(file: Path | None, stream: str | None, is_plan: bool, are_listed: bool) -> None:
    """Show what could be pruned on the instrument hosts, and why the rest may not be.

    Without STREAM all streams are shown. Aurora itself never prunes. A file is a candidate if it is older than
    `archive.prune_after`, if it was read and is the same at the source, local and in the archive, and if there is fresh
    evidence for every old day of its stream. Writes nothing, except an empty evidence database in `paths.state` if
    there is none.

    \b
    Exit codes: 0 done; 1 an error (see the last line); 2 a wrong argument.
    Example: aurora prune radar --plan --files
    """
    if not is_plan:
        raise click.UsageError("Aurora never prunes: run `aurora prune --plan` to see what could be pruned")
    site = load_site_or_exit(file)
    archive, now = require_archive(site), datetime.now(UTC)
    if stream is not None and stream not in site.streams:
        raise click.UsageError(f"{stream!r} is not a stream of {site.name}; choose one of {', '.join(site.streams)}")
    last = (now - archive.prune_after).date() - _DAY
    min_age, rows = format_duration(archive.prune_after), []
    open_state_or_exit(site)  # it may create the evidence database
    with Records(site).evidence() as evidence:
        for name in [stream] if stream else site.streams:
            plan = plan_prune(name, site.streams[name], archive, evidence, now)
            if are_listed:
                for path in plan.candidates:
                    click.echo(path)
                if not plan.candidates:
                    print_line(f"{name}: no candidates: {plan.why}", to_stderr=True)
                continue
            old, old_bytes, young, young_bytes = evidence.old_files(name, last)
            kept = old - len(plan.candidates)
            rows.append(
                [
                    name,
                    f"{counted(len(plan.candidates), 'file')}, {human_size(plan.bytes)}",
                    f"{counted(kept, 'file')}, {human_size(old_bytes - plan.bytes)}",
                    f"{counted(young, 'file')}, {human_size(young_bytes)}",
                    plan.why,
                ]
            )
    if not are_listed:
        print_table(
            f"{site.name}: files on the instrument hosts, by the current evidence (nothing is pruned)",
            [
                "stream",
                "could be pruned",
                "old, must stay",
                f"younger than {min_age}",
                "reason",
            ],
            rows,
        )


@click.command(name="retire")
@click.argument("stream")
@click.option("--apply", "is_applied", is_flag=True, help="Delete. Without it the files are only listed.")
@click.pass_obj
def retire_command(file: Path | None, stream: str, is_applied: bool) -> None:
    """Delete local copies of STREAM that are older than `retention.raw.STREAM`.

    Ends with an error if the site file has no such key. Deletes only files of finalized days, and at most
    `retention.files_per_run` files. Reads every file immediately before, in the local copy and in the archive, and
    keeps it if the two differ. Logs every deletion in retired/STREAM.jsonl below `paths.manifests`. Keeps directories.
    Without --apply no file is deleted.

    \b
    Exit codes: 0 done; 1 an error (see the last line); 2 a wrong argument.
    Example: aurora retire wxcam --apply
    """
    site = load_site_or_exit(file)
    require_archive(site)
    if stream not in site.streams:
        raise click.UsageError(f"{stream!r} is not a stream of {site.name}; choose one of {', '.join(site.streams)}")
    places = places_of(site, stream, Connections.of(site))
    [local], (archive, *_) = places["local"], places["gws"]
    try:
        result = retire(
            Records(site), stream, local, archive, dry_run=not is_applied, log=lambda text: print_line(text, "dim")
        )
    except AuroraError as error:
        raise click.ClickException(describe_error(error)) from None
    _show(stream, result)


def _show(stream: str, result: RetireReport) -> None:
    print_line(f"{stream}: {result.summary()}" + (" (dry run; --apply deletes)" if result.dry_run else ""))
    for path in result.first:
        print_line(f"  {path}", "dim")
    if result.files > len(result.first):
        print_line(f"  and {result.files - len(result.first)} more", "dim")
    for reason, count in sorted(result.kept.items()):
        print_line(f"  kept {count.total}: {reason}: {', '.join(count.first[:3])}", "yellow")
