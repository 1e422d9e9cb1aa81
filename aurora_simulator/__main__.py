"""The command line of the simulator: `python -m aurora_simulator camera --help`, also `live` and `instruments`."""

from __future__ import annotations

import re
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import click
from click.core import ParameterSource

from aurora_simulator.camera import simulate, suggested_workers
from aurora_simulator.faults import FAULTS, expand
from aurora_simulator.instrument_spec import INSTRUMENTS, InstrumentSpec
from aurora_simulator.instruments import simulate_instruments
from aurora_simulator.live import run_live
from aurora_simulator.live_instruments import run_instruments
from aurora_simulator.live_spec import LiveSpec
from aurora_simulator.spec import CameraSpec, SpecError
from aurora_simulator.terminal import instruments_summary, live_summary, summary, with_bar

SECONDS_PER_UNIT = {"s": 1, "m": 60, "h": 3600, "d": 86400}
LONGEST = timedelta(days=36525)
ALERTNESS = 0.1  # s; how long a signal to end may wait while nothing is to be done
SIGNALS = (signal.SIGINT, signal.SIGTERM)


def duration(_ctx: click.Context, _param: click.Parameter, value: str) -> timedelta:
    """Parse `30s`, `0.5s`, `5m`, `1h` or `10d`."""
    match = re.fullmatch(r"(\d{1,10}(?:\.\d{1,6})?)([smhd])", value, re.ASCII)
    if match is None:
        raise click.BadParameter(f"{value!r} is not a duration; write 30s, 5m or 1h, or 10d for days")
    seconds = float(match[1]) * SECONDS_PER_UNIT[match[2]]
    if seconds > LONGEST.total_seconds():
        raise click.BadParameter(f"{value!r} is more than {LONGEST.days} days")
    return timedelta(seconds=seconds)


def moment(_ctx: click.Context, _param: click.Parameter, value: str | None) -> datetime | None:
    """Parse a time of ISO 8601; UTC when it names no zone."""
    if value is None:
        return None
    try:
        time = datetime.fromisoformat(value)
        return time.replace(tzinfo=UTC) if time.tzinfo is None else time.astimezone(UTC)
    except (ValueError, OverflowError) as error:
        raise click.BadParameter(f"{value!r} is not a time; write 2026-03-05T10:00Z") from error


def day(_ctx: click.Context, _param: click.Parameter, value: str) -> date:
    """Parse `YYYY-MM-DD`."""
    try:
        return date.fromisoformat(value)
    except ValueError as error:
        raise click.BadParameter(f"{value!r} is not a day; write YYYY-MM-DD") from error


def fault_names(_ctx: click.Context, _param: click.Parameter, values: tuple[str, ...]) -> list[str]:
    """Split at commas and check the names."""
    try:
        return expand([name.strip() for value in values for name in value.split(",") if name.strip()])
    except SpecError as error:
        raise click.BadParameter(str(error)) from error


def stream_names(_ctx: click.Context, _param: click.Parameter, values: tuple[str, ...]) -> tuple[str, ...]:
    """Split at commas; all streams when none is named."""
    return tuple(name.strip() for value in values for name in value.split(",") if name.strip()) or tuple(INSTRUMENTS)


class Simulator(click.Group):
    """A group whose commands end in one line where a file cannot be written."""

    def invoke(self, ctx: click.Context) -> Any:
        try:
            return super().invoke(ctx)
        except OSError as error:
            if error.filename is None or isinstance(error, BrokenPipeError):
                raise
            raise click.ClickException(
                f"{error.filename}: {error.strerror}. Choose a --root where you may write."
            ) from None


@click.group(cls=Simulator)
def simulator() -> None:
    """An observatory that anyone can run: its files, on this machine, without its instruments."""


def of_any_camera[F: Callable[..., Any]](command: F) -> F:
    """Add the options that both cameras have."""
    root = click.Path(file_okay=False, path_type=Path)
    codec = click.Choice(["h264", "mpeg4"])
    help_every = "Time between images: 30s, 5m, 1h."
    for option in (
        click.option(
            "--seed", type=click.IntRange(min=0), default=0, show_default=True, help="Another seed is a new sky."
        ),
        click.option("--codec", type=codec, default="h264", show_default=True, help="Of the clips."),
        click.option("--scale", type=float, default=1.0, show_default=True, help="Multiplies both sides; 1 is real."),
        length("--every", "5m", help_every),
        click.option("--root", type=root, required=True, help="Gets FISH/ and PANO/."),
    ):
        command = option(command)
    return command


def length[F: Callable[..., Any]](name: str, default: str, text: str) -> Callable[[F], F]:
    """An option that is a duration."""
    return click.option(name, metavar="DURATION", callback=duration, default=default, show_default=True, help=text)


@simulator.command(epilog="\b\nFaults:\n" + "\n".join(f"  {name:<18} {line}" for name, line in FAULTS.items()))
@of_any_camera
@click.option("--day", metavar="YYYY-MM-DD", callback=day, required=True, help="UTC day of the first image.")
@click.option("--hours", type=click.IntRange(min=1), required=True, help="How many hours to write.")
@click.option("--start-hour", type=click.IntRange(0, 23), default=0, show_default=True, help="UTC hour to begin with.")
@click.option(
    "--other/--no-other", default=True, help="With or without the small AUTO, LONG and SHORT images; by default with."
)
@click.option(
    "--faults", multiple=True, callback=fault_names, metavar="NAME[,NAME...]", help="Add faults, or `all`; see below."
)
@click.option("--workers", type=click.IntRange(min=1), help="Processes; default 1 for a small job, else one per CPU.")
def camera(faults: list[str], workers: int | None, **options: Any) -> None:
    """Write what the sky camera writes: images, hourly clips, and faults on request.

    The same options give the same bytes, with any number of workers.
    """
    began = time.monotonic()
    try:
        spec = CameraSpec(**options)  # the other options are its fields, by name
        report = with_bar(
            lambda progress: simulate(
                spec,
                faults,
                now=datetime.now(UTC),
                workers=workers or suggested_workers(spec),
                progress=progress,
            )
        )
    except SpecError as error:
        raise click.UsageError(str(error)) from error
    click.echo(summary(report, time.monotonic() - began))


@simulator.command()
@of_any_camera
@click.option("--begin", metavar="TIME", callback=moment, help="Sky time of the start, as 2026-03-05T10:00Z.")
@length("--behind", "24h", "Without --begin: begin with the whole hour that is this long ago.")
@click.option("--speed", type=float, default=60.0, show_default=True, help="Seconds of sky time in one of the clock.")
@click.option("--hours", type=click.IntRange(min=1), help="Hours of sky time to write; default: until Ctrl-C.")
@click.option(
    "--other/--no-other", default=False, help="With the small AUTO, LONG and SHORT images; by default without."
)
@length("--flight", "1s", "Clock time for which a file is half written.")
@length("--late-after", "1h", "Sky time after which an old image turns up.")
@length("--late-by", "10d", "How old that image is; 0s for none.")
@length("--outage-after", "3m", "Clock time after which the root is renamed to ROOT.offline.")
@length("--outage", "2m", "Clock time until it is renamed back; 0s for no outage.")
@click.option(
    "--journal",
    type=click.Path(dir_okay=False, path_type=Path),
    help="Gets a JSON line for each whole file: path, bytes, complete_at (s since epoch).",
)
def live(begin: datetime | None, behind: timedelta, **options: Any) -> None:
    """Write what the sky camera writes while it writes it: files that are half there, an outage, a late file.

    Sky time runs faster than the clock until it has caught up, and with it from then on. Ctrl-C or SIGTERM ends the
    camera; files in flight stay half written, and a renamed root is put back. One line is printed for each hour of sky
    time and each event.
    """
    began, now = time.monotonic(), datetime.now(UTC)
    try:
        begin = begin or (now - behind).replace(minute=0, second=0, microsecond=0)
        with until_signal() as sleep:
            report = run_live(LiveSpec(begin=begin, **options), log=click.echo, sleep=sleep)
    except SpecError as error:
        raise click.UsageError(str(error)) from error
    click.echo(live_summary(report, time.monotonic() - began))


ONLY_LIVE = ("begin", "speed", "flight")


@simulator.command(
    epilog="\b\nStreams:\n"
    + "\n".join(f"  {name:<16} {i.directory:<14} {i.files_per_day} files a day" for name, i in INSTRUMENTS.items())
)
@click.option("--root", type=click.Path(file_okay=False, path_type=Path), required=True, help="Gets cl61/, power/, ...")
@click.option("--day", metavar="YYYY-MM-DD", callback=day, required=True, help="First UTC day.")
@click.option("--days", type=click.IntRange(min=1), help="How many days to write; default: 1, with --live no end.")
@click.option(
    "--streams", multiple=True, callback=stream_names, metavar="NAME[,NAME...]", help="Default: all; see below."
)
@click.option("--scale", type=float, default=0.01, show_default=True, help="Multiplies sizes; 1 is real, 3.8 GB a day.")
@click.option("--seed", type=click.IntRange(min=0), default=0, show_default=True, help="Another seed is other weather.")
@click.option(
    "--foreign/--no-foreign",
    "unexpected",
    default=False,
    help="With files that belong to no stream; by default without.",
)
@click.option("--until", metavar="TIME", callback=moment, help="Sky time to write up to; default: all is whole.")
@click.option("--live/--no-live", "is_live", default=False, help="In real time, until Ctrl-C or the days are over.")
@click.option("--begin", metavar="TIME", callback=moment, help="With --live: sky time of the start; default: --day.")
@click.option("--speed", type=float, default=60.0, show_default=True, help="With --live: sky seconds in one.")
@length("--flight", "1s", "With --live: clock time for which a write is half done.")
@click.pass_context
def instruments(
    ctx: click.Context,
    /,
    until: datetime | None,
    is_live: bool,
    begin: datetime | None,
    speed: float,
    flight: timedelta,
    **options: Any,
) -> None:
    """Write what the other seven instruments write: ceilometer, radar, radiometer, weather, fluxes, power.

    The same options give the same bytes and modification times. With --live, files are written while sky time runs
    faster than the clock, until it has caught up: appended, rewritten in place, half there; those before --begin are
    there at once. Ctrl-C or SIGTERM ends it; what is in flight stays half written, and a next start mends it.
    """
    began = time.monotonic()
    given = {name for name in ctx.params if ctx.get_parameter_source(name) is not ParameterSource.DEFAULT}
    for name in ({"until"} if is_live else set(ONLY_LIVE)) & given:
        raise click.UsageError(f"--{name} is {'not for' if is_live else 'only for'} --live")
    try:
        if is_live:
            spec = InstrumentSpec(**options)
            with until_signal() as sleep:
                report = run_instruments(
                    spec, begin or spec.start, speed=speed, flight=flight, log=click.echo, sleep=sleep
                )
        else:
            report = simulate_instruments(InstrumentSpec(**options | {"days": options["days"] or 1}), until)
    except SpecError as error:
        raise click.UsageError(str(error)) from error
    click.echo(instruments_summary(report, time.monotonic() - began))


@contextmanager
def until_signal() -> Iterator[Callable[[float], None]]:
    """A `sleep` that raises `KeyboardInterrupt` once SIGTERM or Ctrl-C has come: never in the middle of a write."""
    came: list[int] = []
    before = [signal.signal(number, lambda number, _frame: came.append(number)) for number in SIGNALS]

    def sleep(seconds: float) -> None:
        end = time.monotonic() + seconds
        while not came and (left := end - time.monotonic()) > 0:
            time.sleep(min(left, ALERTNESS))
        if came:
            raise KeyboardInterrupt

    try:
        yield sleep
    finally:
        for number, handler in zip(SIGNALS, before, strict=True):
            signal.signal(number, handler)


if __name__ == "__main__":
    simulator(prog_name="python -m aurora_simulator")
