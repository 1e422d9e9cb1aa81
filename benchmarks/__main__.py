"""``python -m benchmarks [NAME ...]``: measure the named subjects, or all, and print and save what was found."""

import signal
import sys
from importlib import import_module
from pathlib import Path

import click
from rich.console import Console
from rich.status import Status

from benchmarks import short
from benchmarks.measure import ROUNDS
from benchmarks.report import PLACE, Machine, as_table, save
from benchmarks.subject import Bench, Result

SUBJECTS = (
    "daily_video",
    "latest_video",
    "pixels",
    "reading",
    "thumbnails",
    "first_index",
    "refresh",
    "tick",
    "verification",
    "start_up",
    "platform",
    "hashing",
    "listing",
)
"""Each is a module here with a function ``run(bench) -> Result``."""

_WIDTH = 140  # characters, of a table in a file


@click.command(
    context_settings={"help_option_names": ["-h", "--help"]},
    epilog=f"Subjects: {', '.join(SUBJECTS)}. Exit code 0 where every target is reached, 1 where one is not. All take "
    "about an hour; nothing else should run meanwhile. A wrong answer ends it with an error, also where it is --short.",
)
@click.argument("names", nargs=-1, type=click.Choice(SUBJECTS), metavar="[NAME]...")
@click.option("--rounds", default=ROUNDS, show_default=True, type=click.IntRange(1), help="Runs of each method.")
@click.option("--save/--no-save", "saves", default=True, help="Write JSON and plots to --out.  [default: save]")
@click.option(
    "--out",
    default=PLACE,
    type=click.Path(path_type=Path, file_okay=False),
    help="Where to.  [default: docs/benchmarks]",
)
@click.option(
    "--scratch",
    type=click.Path(path_type=Path, file_okay=False, exists=True),
    help="Where the files that are measured on are made; they need up to 10 GB.  [default: the system's place for "
    "temporary files]",
)
@click.option(
    "--short",
    "is_short",
    is_flag=True,
    help="Small sizes, one round, nothing saved: only whether the answers are right. A missed target is no error.",
)
def main(names: tuple[str, ...], rounds: int, saves: bool, out: Path, scratch: Path | None, is_short: bool) -> None:
    """Measure subjects side by side with the method in use today, and with the limit; all where none is named."""
    # A shell has what it starts in the background ignore Ctrl-C's signal, and so would all that we start and end by it.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))  # what a subject has started is ended with it
    console, machine = Console(), Machine.this()
    if not console.is_terminal:
        console = Console(width=_WIDTH)
    console.print(f"{machine}\n{machine.packages}", highlight=False)
    if is_short:
        short.ask()
        rounds, saves = 1, False
    results: list[Result] = []
    for name in names or SUBJECTS:
        with console.status(name) as status:

            def log(what: str, name: str = name, status: Status = status) -> None:
                status.update(f"{name}: {what}")

            subject = import_module(f"benchmarks.{name}")
            short.shorten_if_asked()
            results.append(subject.run(Bench(rounds, log, scratch, is_short)))
        console.print(as_table(results[-1]))
        if saves:
            save(results[-1], machine, out)
            said = f"written: {name}.json, {name}.png and README.md in {out} (--no-save only looks)"
            console.print(said, highlight=False, soft_wrap=True)
    if is_short:
        console.print("short: every answer is right; the figures mean nothing, and no target is held against them")
        return
    missed = [f"{result.name}: {row.what}" for result in results for row in result.rows if row.verdict != "reached"]
    console.print("not reached: " + "; ".join(missed) if missed else "every target is reached", highlight=False)
    sys.exit(bool(missed))


if __name__ == "__main__":
    main()
