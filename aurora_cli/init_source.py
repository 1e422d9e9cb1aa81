"""``aurora init``: the host and directory of a stream, asked for until some of its files were listed; read-only."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from aurora_cli import init_questions as answers
from aurora_cli.console import print_line, wait_display
from aurora_cli.context import describe_host_error, read_only_connections
from aurora_cli.init_questions import THIS_MACHINE, Questions, host_of
from aurora_cli.init_rules import NoFilesError, Rules
from aurora_platform.config.hosts import LocalHost, SshHost
from aurora_platform.config.site import Site, site_of_text
from aurora_platform.config.streams import Stream
from aurora_platform.errors import HostError
from aurora_platform.layout import WXCAM
from aurora_platform.operations.site_draft import HostDraft, SiteDraft, StreamDraft, site_text
from aurora_platform.operations.site_sample import Sample, take_sample
from aurora_platform.text import counted

_ANY = {"include": ["**/*"], "day": "mtime"}


@dataclass(frozen=True)
class SourceQuestions:
    """Asks for one stream: what it is, where its files are, and by which rules they are mirrored.

    ``draft_of`` makes a site of a host and a stream, against which answers are checked; ``existing`` is the site that
    the stream is added to.
    """

    questions: Questions
    draft_of: Callable[[HostDraft, StreamDraft], SiteDraft]
    existing: Site | None = None

    def ask(self) -> tuple[HostDraft, StreamDraft]:
        """Ask until everything fits together."""
        name = self._stream_name()
        host = self._reachable_host()
        return host, self._stream(name, host)

    def _stream_name(self) -> str:
        taken = self.existing.streams if self.existing else {}
        default = None if self.existing else WXCAM
        while True:
            text = f"Stream ({WXCAM}: the sky camera; else the instrument's name)"
            name = self.questions.ask("instrument", text, answers.name, default)
            if name not in taken:
                return name
            self.questions.again("instrument", f"the site has a stream {name} already. Its streams: {', '.join(taken)}")

    def _reachable_host(self) -> HostDraft:
        while True:
            host = self._host()
            error = self._why_unreachable(host)
            if not error:
                return host
            self.questions.again("host", error)
            self.questions.given.update(user=None, auth=None)

    def _why_unreachable(self, host: HostDraft) -> str:
        """Why nobody can log in to a host; empty where one can."""
        site = self._site(host, StreamDraft("any", host.name, "/", {**_ANY, "start": _today()}))
        with read_only_connections(site, within=site.limits.look) as (connections, copy), wait_display() as display:
            try:
                display.track(f"{host.name} to answer", lambda: connections.login(host.host))()
            except HostError as error:
                return describe_host_error(error, site, copy)
        return ""

    def _host(self) -> HostDraft:
        existing = self.existing.hosts if self.existing else {}
        name = self.questions.given.get("host")
        if name in existing:
            return HostDraft(name, existing[name])
        host = host_of(self.questions)
        for name, one in existing.items():
            if one == host:
                return HostDraft(name, one)
        return HostDraft(_free_name(_host_name(host), set(existing)), host)

    def _stream(self, name: str, host: HostDraft) -> StreamDraft:
        while True:
            path = self.questions.ask("path", "Directory of the files on the host", answers.remote_path)
            try:
                return self._listed_stream(name, host, path)
            except NoFilesError as error:
                self.questions.again("path", f"{path}: {error}")

    def _listed_stream(self, name: str, host: HostDraft, path: str) -> StreamDraft:
        description = self.questions.given.get("description")

        def draft(rules: dict[str, Any]) -> StreamDraft:
            added = {"description": description} if description else {}
            return StreamDraft(name, host.name, path, {**rules, **added})

        def check(rules: dict[str, Any]) -> Stream:
            return self._site(host, draft(rules)).streams[name]

        sample = self._sample(host, draft({**_ANY, "start": _today()}))
        return draft(Rules(self.questions, name, name == WXCAM, sample, check).settle())

    def _sample(self, host: HostDraft, stream: StreamDraft) -> Sample:
        site = self._site(host, stream)
        seconds = site.limits.look.total_seconds()
        where = f"{host.name}:{stream.path}"
        with read_only_connections(site, within=site.limits.look) as (connections, copy):
            try:
                with wait_display() as display:
                    sample = display.track(
                        f"a list of {where} ({seconds:.0f} s at most)",
                        lambda: take_sample(connections.source(host.host), stream.path, seconds),
                    )()
            except HostError as error:
                raise NoFilesError(describe_host_error(error, site, copy)) from None
        if not sample.files:
            raise NoFilesError(
                "the directory has no files. Is the disk mounted, and has the instrument begun? "
                "Name the directory that holds its files"
            )
        print_line(f"{where}: {counted(sample.files, 'file')} listed{f', {sample.why_cut}' if sample.why_cut else ''}")
        return sample

    def _site(self, host: HostDraft, stream: StreamDraft) -> Site:
        """A site with this host and stream alone, and the limits of the one that exists."""
        site = site_of_text(site_text(self.draft_of(host, stream)), Path("the answers"), Path.cwd())
        return site.model_copy(update={"limits": self.existing.limits}) if self.existing else site


def _today() -> date:
    return datetime.now(UTC).date()


def _host_name(host: LocalHost | SshHost) -> str:
    if isinstance(host, LocalHost):
        return THIS_MACHINE
    try:
        return answers.name(host.address.partition(".")[0].lower().replace("-", "_"))
    except ValidationError:
        return "instrument_host"


def _free_name(name: str, taken: set[str]) -> str:
    return next(one for one in (name, *(f"{name}_{n}" for n in range(2, len(taken) + 3))) if one not in taken)
