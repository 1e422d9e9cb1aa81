"""``aurora explain``: everything that is known about a file, or about an asset and a partition. It writes nothing."""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import click
from rich.text import Text

from aurora_cli.console import print_json, print_line, print_table
from aurora_cli.context import load_site_or_exit, read_only_connections
from aurora_cli.dagster_records import find_opener
from aurora_platform.config.site import Site
from aurora_platform.operations.explain import explain
from aurora_platform.operations.explain_answer import (
    Answer,
    Copy,
    DagsterFacts,
    NoRunRecords,
    RunFacts,
    RunRecords,
    written,
)
from aurora_platform.operations.explain_question import QuestionError
from aurora_platform.text import human_size, printable
from aurora_platform.transport.protocols import Source

RUN_RECORDS = "aurora.run_records"
"""Group of the entry point that opens Dagster's records of runs; see :mod:`aurora_assets.command_records`."""

type OpenRunRecords = Callable[[Site], AbstractContextManager[RunRecords]]

_SHORT = 12  # digits of a SHA-256 in the table
_TO_THE_MINUTE = len("YYYY-MM-DD HH:MM")
_MOST_EXCLUDED = 10


@click.command(name="explain")
@click.argument("what", metavar="FILE|ASSET/DAY")
@click.option("--source", "is_listed", is_flag=True, help="Also list the day on its host (for `limits.look` at most).")
@click.option("--stream", metavar="NAME", help="The stream that is meant, where several may have the file.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON, for other programs.")
@click.pass_obj
def explain_command(file: Path | None, what: str, is_listed: bool, stream: str | None, as_json: bool) -> None:
    """Explain a FILE, or an ASSET/DAY: its state and why, its copies, its runs, and what happens next.

    FILE is a path on this machine, on an instrument host or in the archive, or relative to a stream; it need not exist.
    ASSET is an asset key; without a day or hour, its newest partition. Connects to no host without --source, and writes
    nothing. What cannot be read is named under PROBLEMS, and the rest is shown.

    \b
    Exit codes: 0 all is in order or on its way; 1 an operator should act;
    2 a wrong argument.
    Examples: aurora explain raw/cl61/2026-03-05
              aurora explain wxcam/fish_hdr/daily_video
              aurora explain /project/aurora/raw/wxcam/FISH/20260305/10/HDR_20260305_100000.jpg
    """
    site = load_site_or_exit(file)
    with ExitStack() as stack:
        source_of = stack.enter_context(_sources(site)) if is_listed else None
        runs = stack.enter_context(_open_run_records(site))
        try:
            answer = explain(site, what, runs=runs, source_of=source_of, stream=stream, now=datetime.now(UTC))
        except QuestionError as error:
            raise click.UsageError(str(error)) from None
    if as_json:
        print_json(asdict(answer) | {"needs_operator": answer.needs_operator})
    else:
        _show(answer)
    raise click.exceptions.Exit(int(answer.needs_operator))


@contextmanager
def _sources(site: Site) -> Iterator[Callable[[str], Source]]:
    """List sources read-only, each for ``limits.look`` at most."""
    with read_only_connections(site, site.limits.look) as (connections, _):
        yield lambda name: connections.source(
            site.hosts[site.streams[name].host], within=site.limits.look.total_seconds()
        )


@contextmanager
def _open_run_records(site: Site) -> Iterator[RunRecords]:
    """Open Dagster's records of runs, if there are any."""
    with ExitStack() as stack:
        records: RunRecords
        try:
            opener: OpenRunRecords | str = find_opener(RUN_RECORDS)
            records = NoRunRecords(opener) if isinstance(opener, str) else stack.enter_context(opener(site))
        except Exception as error:  # a damaged installation, damaged records, ...: the other sections are shown
            why = f"Dagster's records cannot be opened: {type(error).__name__}: {error}"
            records = NoRunRecords(why, is_broken=True)
        yield records


def _show(answer: Answer) -> None:
    conclusion = answer.conclusion
    _section("What it is", answer.subject.lines)
    style = "red bold" if conclusion.needs_operator else "green"
    _head("Verdict")
    print_line(f"  {conclusion.state.upper()}: {conclusion.sentence}", style)
    _lines(conclusion.remarks)
    if answer.copies:
        _show_copies(answer.copies)
    _show_product(answer)
    _show_finalization(answer)
    if answer.dagster:
        _section("Runs and checks", _run_lines(answer.dagster))
    _section("What happens next", answer.next_steps)
    if answer.problems:
        _head("PROBLEMS: these parts could not be read", "red bold")
        _lines([f"{problem.section}: {problem.message}" for problem in answer.problems])


def _head(title: str, style: str = "bold") -> None:
    print_line(title, style)


def _lines(lines: Any) -> None:
    for line in lines:
        print_line("  " + line.replace("\n", " "))


def _section(title: str, lines: Any) -> None:
    _head(title)
    _lines(lines)


_MARKS = {True: "yes", False: "NO", None: "-"}


def _show_copies(copies: tuple[Copy, ...]) -> None:
    """Print a table with the columns that have a value in any row."""
    columns: dict[str, Callable[[Copy], str]] = {
        "place": lambda copy: copy.place,
        "present": lambda copy: {True: "yes", False: "no", None: "?"}[copy.is_present],
        "files": lambda copy: "" if copy.files is None else str(copy.files),
        "size": lambda copy: "" if copy.size is None else human_size(copy.size),
        "mtime": lambda copy: _time(copy.mtime),
        "SHA-256": lambda copy: (copy.sha256 or "")[:_SHORT],
        "listed": lambda copy: _time(copy.listed_at)[:_TO_THE_MINUTE],
        "verified": lambda copy: _time(copy.read_at)[:_TO_THE_MINUTE],
        "as finalized": lambda copy: "" if copy.is_finalized is None else _MARKS[copy.is_finalized],
        "note": lambda copy: copy.note,
    }
    shown = {name: cell for name, cell in columns.items() if any(cell(copy) for copy in copies)}
    rows: list[list[str | Text]] = [[cell(copy) for cell in shown.values()] for copy in copies]
    print_table("Copies (times are UTC)", list(shown), rows)
    for copy in copies:
        print_line(f"  {copy.place}: {copy.location}", "dim")


def _time(time: datetime | None) -> str:
    return "" if time is None else f"{time.astimezone(UTC):%Y-%m-%d %H:%M:%S}"


def _show_product(answer: Answer) -> None:
    product = answer.product
    if product is None:
        return
    lines = [product.path + (f", {human_size(product.size)}" if product.size is not None else "")]
    lines += [f"data version {product.data_version}"] * bool(product.data_version)
    if product.inputs is not None:
        lines.append(f"inputs in the catalogue: {product.inputs}; excluded or unreadable: {len(product.excluded)}")
    reasons = list(product.excluded.items())
    lines += [f"  {printable(path)}: {printable(reason)}" for path, reason in reasons[:_MOST_EXCLUDED]]
    lines += [f"  and {len(reasons) - _MOST_EXCLUDED} more (--json)"] * (len(reasons) > _MOST_EXCLUDED)
    _section("Product", lines)


def _show_finalization(answer: Answer) -> None:
    found = answer.finalization
    if found is None:
        return
    state = "complete" if found.is_complete else "not complete"
    revision = f", revision {found.revision}, since {written(found.since)}" if found.revision is not None else ""
    lines = [f"{state}{revision}"]
    lines += [f"because: {printable(found.why_not)}"] * bool(found.why_not)
    lines += [f"last verification: {found.comparison}"] * bool(found.comparison)
    lines += [f"manifest {found.manifest}"] * bool(found.manifest)
    _section(f"Finalization of {answer.subject.day}", lines)


def _run_lines(every: tuple[DagsterFacts, ...]) -> Iterator[str]:
    if all(facts.missing for facts in every):
        yield every[0].missing
        return
    for facts in every:
        if facts.missing:
            yield f"{facts.asset}: {facts.missing}"
            continue
        made = f"recorded on {written(facts.materialized_at)}" if facts.materialized_at else "no record of it"
        yield f"{facts.asset}: {made}" + (f" by {_run(facts.made_by)}" if facts.made_by else "")
        if facts.newest_run:
            yield f"  newest run: {_run(facts.newest_run)}"
        for check in facts.failed_checks:
            of = "" if check.partition or not facts.partition else " (of all days; perhaps of another)"
            yield f"  check {check.name} FAILED on {written(check.found_at)}{of}: {check.sentence}"


def _run(run: RunFacts) -> str:
    error = f": {run.error}" if run.error else ""
    return f"run {run.run_id} of {run.job}, {run.state.lower()}, started by {run.started_by}{error}"
