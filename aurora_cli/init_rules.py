"""``aurora init``: the rules of a stream, proposed from its files, shown with what they do, accepted or edited."""

import shlex
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import click
import yaml

from aurora_cli.console import print_line, print_table
from aurora_cli.init_questions import Questions, option
from aurora_platform.config.streams import Stream
from aurora_platform.errors import SiteError
from aurora_platform.operations.name_days import DayRuleError
from aurora_platform.operations.name_kinds import NamedFile, NameKind
from aurora_platform.operations.site_draft import scalar
from aurora_platform.operations.site_proposal import (
    Preview,
    Proposal,
    camera_proposal,
    likely_kinds,
    preview,
    propose,
    sort_entries,
)
from aurora_platform.operations.site_sample import Sample
from aurora_platform.text import counted, printable

RULES = ("include", "day", "day_dirs", "day_names", "start", "settle", "append", "every")
_LISTS = {"include", "day_dirs", "day_names"}
_MOST_KINDS = 12  # shown, the largest first

type Check = Callable[[dict[str, Any]], Stream]
"""Makes a stream of its keys, or raises :class:`SiteError`."""


class NoFilesError(Exception):
    """No rules can be made of the files of the directory; the message says why."""


@dataclass(frozen=True)
class Rules:
    """Settles the rules of one stream with the operator."""

    questions: Questions
    name: str
    is_camera: bool
    sample: Sample
    check: Check

    def settle(self) -> dict[str, Any]:
        """The keys of the stream that the operator has accepted."""
        proposal = self._proposal()
        for note in proposal.notes:
            print_line(note, "yellow")
        if self.sample.why_cut:
            print_line(
                "not all was listed: `start` is the first day that was seen; correct it if there are older files",
                "yellow",
            )
        rules = self._given(proposal.settings())
        while True:
            try:
                stream = self.check(rules)
            except (SiteError, ValueError) as error:
                if not self.questions.is_interactive:
                    raise click.ClickException(str(error)) from None
                print_line(str(error), "red", to_stderr=True)
                rules = self._edited(rules)
                continue
            self._show(rules, preview(stream, self.sample.entries, self.sample.clock_ns))
            if self.questions.confirm("Take these rules?"):
                return rules
            rules = self._edited(rules)

    def _given(self, rules: dict[str, Any]) -> dict[str, Any]:
        """Options come before what was proposed."""
        given = {key: self.questions.given.get(key) for key in RULES}
        rules = {**rules, **{key: list(v) if key in _LISTS else v for key, v in given.items() if v not in (None, ())}}
        if given["day_names"] and not given["day_dirs"]:
            rules.pop("day_dirs", None)
        if given["day_dirs"] and not given["day_names"]:
            rules.pop("day_names", None)
        return rules

    def _proposal(self) -> Proposal:
        entries = self.sample.entries
        found = sort_entries(entries)
        if self.is_camera:
            proposal = camera_proposal(entries, self.sample.now)
            if proposal is None:
                raise NoFilesError(
                    f"none of {counted(self.sample.files, 'file')} is named as WXcam names its images "
                    "(FISH/20260818/12/HDR_20260818_120000.jpg). Is this the camera's directory, the one that holds "
                    "FISH and PANO? Files of another camera are an instrument (--instrument NAME)."
                )
            return proposal
        if not found.kinds:
            raise NoFilesError(f"the directory has no usable file: {_reasons(found.unusable)}")
        kinds = self._kinds(found.kinds)
        chosen = {file.path for kind in kinds for file in kind.files}
        others = [kind for kind in found.kinds if chosen.isdisjoint(file.path for file in kind.files)]
        try:
            proposals = propose(kinds, others, self.sample.now)
        except DayRuleError as error:
            raise NoFilesError(str(error)) from None
        return self._reading(proposals, kinds)

    def _kinds(self, kinds: Sequence[NameKind]) -> list[NameKind]:
        """Which kinds are the stream's: by --include, by the stream's name, or by asking."""
        if include := self.questions.given.get("include"):
            try:
                stream = self.check({"include": list(include), "day": "mtime", "start": self.sample.now.date()})
            except SiteError as error:
                raise click.ClickException(str(error)) from None
            parts = [(kind, tuple(file for file in kind.files if stream.includes(file.path))) for kind in kinds]
            if found := [replace(kind, files=files) for kind, files in parts if files]:
                return found
            raise NoFilesError(f"--include takes none of {counted(self.sample.files, 'file')}: {_examples(kinds)}")
        likely = likely_kinds(kinds, self.name, self.sample.now.date())
        if len(kinds) == 1 or (likely and not self.questions.is_interactive):
            return likely or list(kinds)
        if not self.questions.is_interactive:
            raise click.ClickException(
                f"the directory has several kinds of files; name those of {self.name} with "
                f"{option('include')}: {_examples(kinds)}"
            )
        print_table(
            "kinds of files in the directory",
            ["", "names", "files", "for example"],
            [
                [str(n), str(kind), str(len(kind.files)), printable(max(file.path for file in kind.files))]
                for n, kind in enumerate(kinds[:_MOST_KINDS], start=1)
            ],
        )
        if len(kinds) > _MOST_KINDS:
            print_line(f"and {counted(len(kinds) - _MOST_KINDS, 'kind')} with fewer files")
        default = ",".join(str(kinds.index(kind) + 1) for kind in likely) or None
        return self.questions.ask(
            "kinds", f"Which are {self.name}'s (numbers as 1,3; or all)", lambda text: _chosen(text, kinds), default
        )

    def _reading(self, proposals: Sequence[Proposal], kinds: Sequence[NameKind]) -> Proposal:
        """Where names can be read in several ways, the operator's."""
        if day := self.questions.given.get("day"):
            return self._by_day(str(day), proposals)
        if len(proposals) == 1:
            return proposals[0]
        example = kinds[0].files[-1]
        ways = ["; ".join((f"{one.label}: {_day_of(one, example)}", *one.notes)) for one in proposals]
        message = f"the day of {printable(example.path)} can be read in several ways"
        if not self.questions.is_interactive:
            days = "\n".join(
                f"  {option('day')} {shlex.quote(one.day)}   ({way})" for one, way in zip(proposals, ways, strict=True)
            )
            raise click.ClickException(f"{message}. Choose one:\n{days}")
        print_line(message, "yellow")
        for n, way in enumerate(ways, start=1):
            print_line(f"  {n}  {way}")
        numbers = [str(n + 1) for n in range(len(ways))]
        return proposals[int(click.prompt("Which is right", type=click.Choice(numbers), default="1")) - 1]

    def _by_day(self, day: str, proposals: Sequence[Proposal]) -> Proposal:
        """The proposal that reads the days as ``--day`` does; else one without directories or names of days."""
        paths = [entry.path.decode("utf-8", "surrogateescape") for entry in self.sample.entries]
        for one in proposals:
            try:
                mine, theirs = (self.check({**one.settings(), "day": rule}) for rule in (day, one.day))
            except SiteError as error:
                raise click.ClickException(str(error)) from None
            taken = [path for path in paths if mine.includes(path)]
            if taken and all(mine.day_of(path, 0) == theirs.day_of(path, 0) for path in taken):
                return replace(one, day=day)
        days = [found for path in paths if mine.includes(path) and (found := mine.day_of(path, 0))]
        start = min(days, default=proposals[0].start)
        return Proposal(proposals[0].include, day, start, label="--day")

    def _edited(self, rules: dict[str, Any]) -> dict[str, Any]:
        """Each key asked for, with what it is now as the default; an empty list or `-` takes it out."""
        print_line("Enter keeps a value; - takes the key out. Values are written as in the site file.")
        edited = dict(rules)
        for key in RULES:
            now = scalar(rules[key]) if key in rules else "-"
            answer = click.prompt(f"  {key}", default=now)
            if answer == now:
                continue
            edited[key] = _value(key, answer)
            if edited[key] in (None, []):
                del edited[key]
        return edited

    def _show(self, rules: dict[str, Any], found: Preview) -> None:
        print_line("")
        for key, value in rules.items():
            print_line(f"  {key}: {scalar(value)}", "bold")
        more = f" ({self.sample.why_cut}; there may be more)" if self.sample.why_cut else ""
        print_table(
            f"what the rules do with {counted(found.files, 'file')} that were listed{more}",
            ["rule", "files"],
            [*([f"include {one}", str(n)] for one, n in found.taken.items()), ["with a day", str(found.dated)]],
        )
        print_table("the newest", ["file", "UTC day"], [[printable(path), str(day)] for path, day in found.newest])
        rest = [
            *(
                ["refused", reason, str(count.total), ", ".join(count.first[:3])]
                for reason, count in found.refused.items()
            ),
            *(
                ["no part of it", why, str(count.total), ", ".join(count.first[:3])]
                for why, count in found.left.items()
            ),
        ]
        if rest:
            print_table("files that are not taken", ["", "why", "files", "for example"], rest)


def _value(key: str, answer: str) -> Any:
    """What an operator typed for a key, read as a site file reads it."""
    if answer.strip() in ("-", ""):
        return None
    try:
        value = yaml.safe_load(answer)
    except (yaml.YAMLError, ValueError):
        value = answer
    if key in _LISTS and isinstance(value, str):
        return [answer]
    return answer if key == "day" and not isinstance(value, str) else value


def _chosen(text: str, kinds: Sequence[NameKind]) -> list[NameKind]:
    if text.strip() == "all":
        return list(kinds)
    numbers = [part.strip() for part in text.split(",")]
    if not all(part.isdecimal() and 1 <= int(part) <= len(kinds) for part in numbers):
        raise ValueError(f"numbers from 1 to {len(kinds)} with commas, or all")
    return [kinds[n - 1] for n in sorted({int(part) for part in numbers})]


def _day_of(proposal: Proposal, file: NamedFile) -> str:
    stream = Stream(host="any", path="/", raw="any", include=proposal.include, day=proposal.day, start=proposal.start)
    return str(stream.day_of(file.path, file.mtime_ns))


def _examples(kinds: Sequence[NameKind]) -> str:
    return "; ".join(f"{kind} ({counted(len(kind.files), 'file')})" for kind in kinds[:_MOST_KINDS])


def _reasons(unusable: Any) -> str:
    return "; ".join(f"{reason}: {count.total} ({', '.join(count.first[:3])})" for reason, count in unusable.items())
