"""``aurora catalog``: show the camera's catalogue, and make it again from the raw tree."""

from __future__ import annotations

from contextlib import ExitStack
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import click

from aurora_cli.console import print_line, print_table
from aurora_cli.context import days_until_today, describe_error, load_site_or_exit, open_state_or_exit
from aurora_cli.progress_bars import ProgressBars
from aurora_platform.cameras.catalog import HOLDING, open_readonly
from aurora_platform.cameras.catalog_tables import SCHEMA
from aurora_platform.cameras.rebuild_catalog import CatalogPlan, plan_rebuild, rebuild
from aurora_platform.cameras.workspace import CameraWorkspace
from aurora_platform.config.site import Site
from aurora_platform.errors import AuroraError
from aurora_platform.fs.sqlite_aside import what_is_wrong
from aurora_platform.fs.sqlite_errors import explaining
from aurora_platform.layout import WXCAM
from aurora_platform.text import counted, human_size


@click.command()
@click.option("--rebuild", "is_rebuilt", is_flag=True, help="Show what making it again from the raw tree would do.")
@click.option("--apply", "is_applied", is_flag=True, help="With --rebuild: do it.")
@click.pass_obj
def catalog(file: Path | None, is_rebuilt: bool, is_applied: bool) -> None:
    """Show the camera's catalogue: rows, newest file, and whether every page of it can be read.

    A damaged one is made again with --rebuild: each file of the raw tree is opened once more. Rows of files that are in
    no raw tree any more are taken over, as far as they can be read. Readers see the old one until the new one is
    complete; the old one is kept in `damaged` below `paths.state`.

    \b
    Exit codes: 0 it is whole, or was made again; 1 it is damaged, or an error (see the last line).
    Example: aurora catalog --rebuild --apply
    """
    site = load_site_or_exit(file)
    if WXCAM not in site.streams:
        raise click.ClickException(f"{site.name} has no stream {WXCAM}, so it has no catalogue")
    if is_applied and not is_rebuilt:
        raise click.UsageError("--apply is for --rebuild")
    workspace = CameraWorkspace.of(site)
    try:
        if is_rebuilt:
            _rebuild(site, workspace, is_applied=is_applied)
        else:
            _show(workspace.layout.catalog)
    except (AuroraError, OSError) as error:
        raise click.ClickException(describe_error(error)) from None


def _show(path: Path) -> None:
    with open_readonly(path) as db:
        rows = db.execute(
            "SELECT image_type, media_kind, count(*), min(day_utc), max(time_utc) FROM images"
            " GROUP BY image_type, media_kind ORDER BY image_type, media_kind"
        ).fetchall()
        (unreadable,) = db.execute("SELECT count(*) FROM unreadable_media").fetchone()
    print_table(str(path), ["camera", "kind", "files", "first day", "newest (UTC)"], [[*map(str, row)] for row in rows])
    with explaining(path, replace(HOLDING, leaves_mark=False)):
        reason = what_is_wrong(path, SCHEMA)
    if reason:
        raise click.ClickException(
            f"{path} is damaged: {reason}. `{HOLDING.rebuild}` shows what making it again would do"
        )
    print_line(
        f"{counted(unreadable, 'unreadable file')}; {human_size(path.stat().st_size)}, every page was read", "green"
    )


def _rebuild(site: Site, workspace: CameraWorkspace, *, is_applied: bool) -> None:
    days = days_until_today(site.streams[WXCAM].start, datetime.now(UTC))
    plan = plan_rebuild(workspace, days)
    _show_plan(plan)
    if not is_applied:
        print_line("nothing was changed; with --apply it is made again")
        return
    open_state_or_exit(site)
    with ProgressBars.on_terminal() as bars, ExitStack() as stack:
        bar, sizes = stack.enter_context(bars.show_bar("images and clips")) if bars.are_enabled else None, list[int]()
        if bar is not None:
            bar.set_total(sum(plan.sizes))

        def advance(size: int) -> None:
            sizes.append(size)
            if bar is not None:
                bar.update(sum(sizes))

        made = rebuild(workspace, plan, advance)
    print_line(f"{workspace.layout.catalog}: {counted(made.rows, 'row')}, {made.kept_rows} of them taken over", "green")
    if made.lost_days:
        print_line(
            f"rows of files that are here no more could not be read of {', '.join(made.lost_days[:5])}", "yellow"
        )
    if made.earlier is not None:
        print_line(f"the old one is {made.earlier}: delete it when nothing is missing")


def _show_plan(plan: CatalogPlan) -> None:
    days = f" from {plan.days[0]} to {plan.days[-1]}" if plan.days else ""
    files = f"{counted(plan.files, 'file')} of {counted(len(plan.days), 'day')}{days}"
    print_line(f"would open {files} ({human_size(sum(plan.sizes))})")
    print_line(f"would take over {counted(plan.kept_rows, 'row')} of files that are in no raw tree any more")
    if plan.lost_days:
        lost = ", ".join(plan.lost_days[:5])
        print_line(f"such rows of {lost} cannot be taken over: the old catalogue cannot be read there", "yellow")
