"""``aurora init``: a site file for a new site, made by asking, listing the host's files, and proposing their rules."""

import os
import re
import shlex
import socket
import stat
import sys
from datetime import datetime
from pathlib import Path
from typing import Any

import click

from aurora_cli import init_questions as answers
from aurora_cli.audit import audit
from aurora_cli.console import print_line
from aurora_cli.context import describe_error
from aurora_cli.init_questions import Questions, free_space, require
from aurora_cli.init_source import SourceQuestions
from aurora_platform.config.package_files import CHECKOUT
from aurora_platform.config.site import load_site, site_of_text
from aurora_platform.errors import SiteError
from aurora_platform.fs.atomic import publish_file
from aurora_platform.layout import WXCAM
from aurora_platform.operations.site_draft import (
    HostDraft,
    SiteDraft,
    StreamDraft,
    host_block,
    site_text,
    stream_block,
    with_stream,
)

_BY_HAND = "To add the blocks by hand, append each to the section that its heading names"
_NEEDED = {
    "name": "name of the site",
    "data": "directory of this machine for the data",
    "instrument": "name of the stream; or --camera",
    "host": "here, or address[:port]",
    "path": "directory of the files on the host",
}


@click.command()
@click.argument("file", required=False, type=click.Path(path_type=Path, dir_okay=False))
@click.option(
    "--add-to",
    type=click.Path(path_type=Path, dir_okay=False),
    metavar="SITE",
    help="Add one more stream to this site file.",
)
@click.option("--name", help="Name of the site: lower-case letters, digits and _.")
@click.option("--contact", help="Who looks after it: a mail address, or team:NAME.")
@click.option("--data", metavar="DIR", help="Directory of this machine for raw files, products, state and manifests.")
@click.option("--camera", is_flag=True, help=f"The files are of the sky camera WXcam (stream {WXCAM}).")
@click.option("--instrument", metavar="STREAM", help="The files are of an instrument; the name of its stream.")
@click.option("--description", metavar="TEXT", help="What the stream is; shown in the UI.")
@click.option("--host", metavar="HOST", help="Where the files are: `here`, or address[:port].")
@click.option("--user", help="Login name on the host.")
@click.option("--auth", metavar="none|KEYFILE", help="`none`: SSH's own method (Tailscale SSH); or a private key file.")
@click.option("--path", metavar="DIR", help="Directory of the files on the host.")
@click.option(
    "--include", multiple=True, metavar="PATTERN", help="Files of the stream, in place of what is proposed. Repeatable."
)
@click.option("--day", metavar="REGEX|mtime", help="Where a path tells its UTC day, in place of what is proposed.")
@click.option("--day-dirs", multiple=True, metavar="TEMPLATE", help="Directories of one day, as %Y/%m/%d. Repeatable.")
@click.option(
    "--day-names", multiple=True, metavar="TEMPLATE", help="Names of one day's files, as *_%Y%m%d*. Repeatable."
)
@click.option("--start", type=click.DateTime(["%Y-%m-%d"]), metavar="YYYY-MM-DD", help="The first day.")
@click.option("--settle", metavar="DURATION", help="A younger file is still being written.")
@click.option("--append/--no-append", default=None, help="Files only grow at their end, or are rewritten in place.")
@click.option("--every", metavar="DURATION", help="How often a file comes.")
@click.option("--yes", "-y", is_flag=True, help="Take the default wherever no option answers.")
@click.option("--ask", is_flag=True, help="Ask also where stdin is no terminal: answers come one a line.")
@click.option("--dry-run", "-n", is_flag=True, help="Print what would be written, and write nothing.")
@click.pass_context
def init(
    ctx: click.Context, /, file: Path | None, add_to: Path | None, yes: bool, ask: bool, dry_run: bool, **given: Any
) -> None:
    """Write a site file: ask, list a few files of the host, and propose the rules by which they are mirrored.

    FILE is sites/NAME.yaml in a checkout and ./NAME.yaml elsewhere; it must not exist. Each question has an option.
    Files on the host are only listed. At the end `aurora audit` runs, and it prints the next commands.

    \b
    Exit codes: 0 written; 1 a host or path cannot be used, or something is FAIL; 2 an option is missing.
    Example: aurora init --instrument cl61 --host 192.0.2.7 --path /home/aurora/data/cl61
    """
    if given.pop("camera"):
        if given["instrument"]:
            raise click.UsageError("--camera or --instrument, not both")
        given["instrument"] = WXCAM
    start: datetime | None = given["start"]
    given["start"] = start.date() if start else None
    questions = Questions(given, is_asked=ask or sys.stdin.isatty(), takes_defaults=yes)
    if add_to is not None:
        if file is not None:
            raise click.UsageError("FILE is for a new site; --add-to names the site file that gets one more stream")
        _add(questions, add_to, is_dry=dry_run)
        return
    if not questions.is_asked and not yes:
        require(given, _NEEDED)
    if file is not None:
        _refuse(file)
    name, target = _name(questions, file)
    contact = questions.ask("contact", "Contact: mail address or team:NAME (empty: nobody)", answers.contact, "")
    data = _data_directory(questions, name)
    host, stream = SourceQuestions(questions, lambda *parts: SiteDraft(name, contact, data, *parts)).ask()
    text = site_text(SiteDraft(name, contact, data, host, stream))
    try:
        site_of_text(text, target, target.absolute().parent)
    except SiteError as error:
        raise click.ClickException(str(error)) from None
    if dry_run:
        click.echo(text, nl=False)
        print_line(f"dry run: {target} is not written", to_stderr=True)
        return
    _write(target, text)
    print_line(f"{target} is written", "green")
    _finish(ctx, target, data, stream.name)


def _name(questions: Questions, file: Path | None) -> tuple[str, Path]:
    """The site's name, and the file that it is written to."""
    guess = (file.stem if file else socket.gethostname().partition(".")[0]).lower()
    default = re.sub("[^a-z0-9_]", "_", guess)[:62]
    while True:
        name = questions.ask(
            "name", "Name of the site", answers.name, default if default[:1].isalpha() else "observatory"
        )
        target = file or (CHECKOUT / "sites" if CHECKOUT else Path.cwd()) / f"{name}.yaml"
        if file or not os.path.lexists(target):
            return name, target
        questions.again("name", f"{target} exists, and is not overwritten. Choose another name, or name a FILE")


def _refuse(file: Path) -> None:
    if os.path.lexists(file):
        raise click.ClickException(
            f"{file} exists, and is not overwritten. Name another FILE; --add-to {file} adds a stream to it"
        )
    if not file.absolute().parent.is_dir():
        raise click.ClickException(f"{file.absolute().parent} is no directory: make it first")


def _data_directory(questions: Questions, name: str) -> Path:
    default = Path.home() / "aurora" / name  # not in the checkout, which people delete and clone again
    text = f"Directory for the data; {default} has {free_space(default)}"
    data = questions.ask("data", text, answers.directory, str(default))
    print_line(f"{data}: {free_space(data)}")
    return data


def _write(target: Path, text: str) -> None:
    try:
        # Exclusive: whoever made a file of that name meanwhile keeps it.
        with target.open("x", encoding="utf-8") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        load_site(target)
    except (OSError, SiteError) as error:
        raise click.ClickException(describe_error(error)) from None


def _finish(ctx: click.Context, file: Path, data: Path, stream: str) -> None:
    """Audit the site, and say what to type next; the exit code is the audit's."""
    ctx.obj = file
    code = 0
    try:
        ctx.invoke(audit)
    except click.exceptions.Exit as end:
        code = end.exit_code
    aurora, start = "aurora", "aurora ui"
    if CHECKOUT:
        is_checkout = Path.cwd() == CHECKOUT
        aurora = ".venv/bin/aurora" if is_checkout else shlex.quote(str(CHECKOUT / ".venv/bin/aurora"))
        start = "make ui" if is_checkout else f"make -C {shlex.quote(str(CHECKOUT))} ui"
    print_line("Next, when nothing is FAIL any more (`aurora audit`):" if code else "Next, in this shell:")
    home = shlex.quote(str(data / "dagster"))
    print_line(f"    export AURORA_SITE={shlex.quote(str(file.absolute()))} DAGSTER_HOME={home}")
    print_line(f"    {aurora} sync {stream} --dry-run   # what would be copied of the newest days")
    print_line(f"    {start}   # the platform, with its UI: http://127.0.0.1:3000")
    ctx.exit(code)


def _add(questions: Questions, file: Path, *, is_dry: bool) -> None:
    """One more stream for a site file: printed, and added at the end of its streams where the operator agrees."""
    if not questions.is_asked and not questions.takes_defaults:
        require(questions.given, {key: _NEEDED[key] for key in ("instrument", "host", "path")})
    try:
        site = load_site(file)
        text = file.read_text(encoding="utf-8")
    except (SiteError, OSError, ValueError) as error:
        raise click.ClickException(describe_error(error)) from None
    # The state directory has the known host keys; the others play no part before the stream is written.
    data = site.paths.state.parent

    def draft_of(host: HostDraft, stream: StreamDraft) -> SiteDraft:
        return SiteDraft(site.name, None, data, host, stream, state=site.paths.state)

    host, stream = SourceQuestions(questions, draft_of, site).ask()
    new_host = None if host.name in site.hosts else host
    if new_host:
        print_line("below hosts:")
        click.echo(host_block(new_host))
    print_line("below streams:")
    click.echo(stream_block(stream), nl=False)
    changed = with_stream(text, file, new_host, stream)
    if changed is None:
        print_line(f"{file} cannot be edited safely. {_BY_HAND}", "yellow")
        return
    if is_dry or not questions.confirm(f"Add this to {file}?"):
        print_line(f"{file} is unchanged. {_BY_HAND}")
        return
    _replace(file, changed)
    print_line(f"{file} has the stream {stream.name}. Next: `aurora audit`, then restart Aurora", "green")


def _replace(file: Path, text: str) -> None:
    target = file.resolve()
    staged = target.with_name(f".{target.name}.part")
    try:
        staged.write_text(text, encoding="utf-8")
        staged.chmod(stat.S_IMODE(target.stat().st_mode))
        publish_file(staged, target)
    except OSError as error:
        staged.unlink(missing_ok=True)
        raise click.ClickException(describe_error(error)) from None
