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
LONGEST_DURATION = timedelta(days=36525)
SIGNAL_POLL_INTERVAL = 0.1  # s; while the simulator sleeps, it handles a signal after this long at most
SIGNALS = (signal.SIGINT, signal.SIGTERM)


def parse_duration(_ctx: click.Context, _param: click.Parameter, value: str) -> timedelta:
    """Parse `30s`, `0.5s`, `5m`, `1h` or `10d`."""
    match = re.fullmatch(r"(\d{1,10}(?:\.\d{1,6})?)([smhd])", value, re.ASCII)
    if match is None:
        raise click.BadParameter(f"{value!r} is not a duration; write 30s, 5m or 1h, or 10d for days")
    seconds = float(match[1]) * SECONDS_PER_UNIT[match[2]]
    if seconds > LONGEST_DURATION.total_seconds():
        raise click.BadParameter(f"{value!r} is more than {LONGEST_DURATION.days} days")
    return timedelta(seconds=seconds)


def parse_time(_ctx: click.Context, _param: click.Parameter, value: str | None) -> datetime | None:
    """Parse an ISO 8601 time; without a zone it is UTC."""
    if value is None:
        return None
    try:
        parsed = datetime.fromisoformat(value)
        return parsed.replace(tzinfo=UTC) if parsed.tzinfo is None else parsed.astimezone(UTC)
    except (ValueError, OverflowError) as error:
        raise click.BadParameter(f"{value!r} is not a time; write 2026-03-05T10:00Z") from error


def parse_day(_ctx: click.Context, _param: click.Parameter, value: str) -> date:
    """Parse `YYYY-MM-DD`."""
    try:
        return date.fromisoformat(value)
    except ValueError as error:
        raise click.BadParameter(f"{value!r} is not a day; write YYYY-MM-DD") from error


def parse_fault_names(_ctx: click.Context, _param: click.Parameter, values: tuple[str, ...]) -> list[str]:
    """Split at commas; check the fault names."""
    try:
        return expand([name.strip() for value in values for name in value.split(",") if name.strip()])
    except SpecError as error:
        raise click.BadParameter(str(error)) from error


def parse_stream_names(_ctx: click.Context, _param: click.Parameter, values: tuple[str, ...]) -> tuple[str, ...]:
    """Split at commas; without a name, return all streams."""
    return tuple(name.strip() for value in values for name in value.split(",") if name.strip()) or tuple(INSTRUMENTS)


class Simulator(click.Group):
    """A command group that prints one line, not a traceback, when a file cannot be written."""

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
    """Simulate an observatory: write its files on this machine, without its instruments."""


def add_camera_options[F: Callable[..., Any]](command: F) -> F:
    """Add the options that `camera` and `live` share."""
    root = click.Path(file_okay=False, path_type=Path)
    codec = click.Choice(["h264", "mpeg4"])
    help_every = "Time between images: 30s, 5m, 1h."
    for option in (
        click.option(
            "--seed", type=click.IntRange(min=0), default=0, show_default=True, help="Another seed gives another sky."
        ),
        click.option("--codec", type=codec, default="h264", show_default=True, help="Codec of the clips."),
        click.option(
            "--scale", type=float, default=1.0, show_default=True, help="Scale of width and height; 1 is real size."
        ),
        duration_option("--every", "5m", help_every),
        click.option("--root", type=root, required=True, help="Directory for FISH/ and PANO/."),
    ):
        command = option(command)
    return command


def duration_option[F: Callable[..., Any]](name: str, default: str, text: str) -> Callable[[F], F]:
    """Return an option whose value is a duration."""
    return click.option(
        name, metavar="DURATION", callback=parse_duration, default=default, show_default=True, help=text
    )


@simulator.command(epilog="\b\nFaults:\n" + "\n".join(f"  {name:<18} {line}" for name, line in FAULTS.items()))
@add_camera_options
@click.option("--day", metavar="YYYY-MM-DD", callback=parse_day, required=True, help="UTC day of the first image.")
@click.option("--hours", type=click.IntRange(min=1), required=True, help="Number of hours to write.")
@click.option("--start-hour", type=click.IntRange(0, 23), default=0, show_default=True, help="First UTC hour.")
@click.option("--other/--no-other", default=True, help="Write the small AUTO, LONG and SHORT images too; default: yes.")
@click.option(
    "--faults",
    multiple=True,
    callback=parse_fault_names,
    metavar="NAME[,NAME...]",
    help="Faults to add, or `all`; listed below.",
)
@click.option("--workers", type=click.IntRange(min=1), help="Processes; default: 1 for a small job, else one per CPU.")
def camera(faults: list[str], workers: int | None, **options: Any) -> None:
    """Write the files of the sky camera: images, hourly clips, and faults on request.

    The same options give the same bytes, with any number of workers.
    """
    began = time.monotonic()
    try:
        spec = CameraSpec(**options)  # the other options have the names of its fields
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
@add_camera_options
@click.option("--begin", metavar="TIME", callback=parse_time, help="Sky time of the start, like 2026-03-05T10:00Z.")
@duration_option("--behind", "24h", "Without --begin: start at the full hour this long ago.")
@click.option(
    "--speed", type=float, default=60.0, show_default=True, help="Seconds of sky time per second of clock time."
)
@click.option("--hours", type=click.IntRange(min=1), help="Hours of sky time to write; default: until Ctrl-C.")
@click.option("--other/--no-other", default=False, help="Write the small AUTO, LONG and SHORT images too; default: no.")
@duration_option("--flight", "1s", "Clock time during which a file is half written.")
@duration_option("--late-after", "1h", "Sky time after which an old image appears.")
@duration_option("--late-by", "10d", "Age of that image; 0s for no such image.")
@duration_option("--outage-after", "3m", "Clock time after which the root is renamed to ROOT.offline.")
@duration_option("--outage", "2m", "Clock time until it is renamed back; 0s for no outage.")
@click.option(
    "--journal",
    type=click.Path(dir_okay=False, path_type=Path),
    help="File that gets a JSON line per complete file: path, bytes, complete_at (s since epoch).",
)
def live(begin: datetime | None, behind: timedelta, **options: Any) -> None:
    """Write the files of the sky camera in real time: with half-written files, an outage and a late file.

    Sky time runs faster than the clock until it catches up; from then on both are equal. Ctrl-C or SIGTERM ends the
    camera; files in flight stay half written, and a renamed root gets its name back. It prints one line per hour of
    sky time and per event.
    """
    began, now = time.monotonic(), datetime.now(UTC)
    try:
        begin = begin or (now - behind).replace(minute=0, second=0, microsecond=0)
        with interruptible_sleep() as sleep:
            report = run_live(LiveSpec(begin=begin, **options), log=click.echo, sleep=sleep)
    except SpecError as error:
        raise click.UsageError(str(error)) from error
    click.echo(live_summary(report, time.monotonic() - began))


ONLY_LIVE = ("begin", "speed", "flight")


@simulator.command(
    epilog="\b\nStreams:\n"
    + "\n".join(f"  {name:<16} {i.directory:<14} {i.files_per_day} files per day" for name, i in INSTRUMENTS.items())
)
@click.option(
    "--root", type=click.Path(file_okay=False, path_type=Path), required=True, help="Directory for cl61/, power/, ..."
)
@click.option("--day", metavar="YYYY-MM-DD", callback=parse_day, required=True, help="First UTC day.")
@click.option("--days", type=click.IntRange(min=1), help="Number of days; default: 1, with --live endless.")
@click.option(
    "--streams",
    multiple=True,
    callback=parse_stream_names,
    metavar="NAME[,NAME...]",
    help="Default: all; listed below.",
)
@click.option(
    "--scale", type=float, default=0.01, show_default=True, help="Scale of file sizes; 1 is real, 3.8 GB per day."
)
@click.option(
    "--seed", type=click.IntRange(min=0), default=0, show_default=True, help="Another seed gives other weather."
)
@click.option(
    "--foreign/--no-foreign",
    "unexpected",
    default=False,
    help="Write unexpected files too, which belong to no stream; default: no.",
)
@click.option(
    "--until", metavar="TIME", callback=parse_time, help="Sky time of the last write; default: when all is complete."
)
@click.option(
    "--live/--no-live", "is_live", default=False, help="Write in real time, until Ctrl-C or the last day ends."
)
@click.option(
    "--begin", metavar="TIME", callback=parse_time, help="With --live: sky time of the start; default: --day."
)
@click.option("--speed", type=float, default=60.0, show_default=True, help="With --live: sky seconds per clock second.")
@duration_option("--flight", "1s", "With --live: clock time during which a write is half done.")
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
    """Write the files of the other seven instruments: ceilometer, radar, radiometer, weather, fluxes, power.

    The same options give the same bytes and modification times. With --live, sky time runs faster than the clock until
    it catches up. Files are appended to, rewritten in place or half written; those from before --begin are written at
    once. Ctrl-C or SIGTERM ends it; files in flight stay half written, and the next start completes them.
    """
    began = time.monotonic()
    given = {name for name in ctx.params if ctx.get_parameter_source(name) is not ParameterSource.DEFAULT}
    for name in ({"until"} if is_live else set(ONLY_LIVE)) & given:
        raise click.UsageError(f"--{name} is {'not for' if is_live else 'only for'} --live")
    try:
        if is_live:
            spec = InstrumentSpec(**options)
            with interruptible_sleep() as sleep:
                report = run_instruments(
                    spec, begin or spec.start, speed=speed, flight=flight, log=click.echo, sleep=sleep
                )
        else:
            report = simulate_instruments(InstrumentSpec(**options | {"days": options["days"] or 1}), until)
    except SpecError as error:
        raise click.UsageError(str(error)) from error
    click.echo(instruments_summary(report, time.monotonic() - began))


@contextmanager
def interruptible_sleep() -> Iterator[Callable[[float], None]]:
    """Provide a `sleep` that raises `KeyboardInterrupt` after SIGTERM or Ctrl-C, so that no write is interrupted."""
    received: list[int] = []
    old_handlers = [signal.signal(number, lambda number, _frame: received.append(number)) for number in SIGNALS]

    def sleep(seconds: float) -> None:
        end = time.monotonic() + seconds
        while not received and (left := end - time.monotonic()) > 0:
            time.sleep(min(left, SIGNAL_POLL_INTERVAL))
        if received:
            raise KeyboardInterrupt

    try:
        yield sleep
    finally:
        for number, handler in zip(SIGNALS, old_handlers, strict=True):
            signal.signal(number, handler)


if __name__ == "__main__":
    simulator(prog_name="python -m aurora_simulator")
