"""``python -m benchmarks [NAME ...]``: run the named benchmarks, or all, and print a table for each."""

import click
from rich.console import Console

from benchmarks import catalog, day, hashing, listing
from benchmarks.measure import machine

BENCHMARKS = {"catalog": catalog.run, "listing": listing.run, "day": day.run, "hashing": hashing.run}


@click.command(help="Run the named benchmarks, or all of them: " + ", ".join(BENCHMARKS))
@click.argument("names", nargs=-1, type=click.Choice(list(BENCHMARKS)))
def main(names: tuple[str, ...]) -> None:
    console = Console()
    console.print(machine())
    for name in names or BENCHMARKS:
        with console.status(f"measuring {name}"):
            table = BENCHMARKS[name]()
        console.print(table)


if __name__ == "__main__":
    main()
