"""Writes what an operator has answered as a commented site file, or as the block of one more stream.

Every value is written by a YAML dumper: names of files, paths and expressions are hostile.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any

import yaml

from aurora_platform.config.hosts import LocalHost, SshHost
from aurora_platform.config.site import site_of_text
from aurora_platform.errors import SiteError

_PATHS = {
    "raw": "Copies of the files of the hosts.",
    "products": "What Aurora makes of them; on ext4, xfs, btrfs or tmpfs.",
    "state": "Locks and host keys.",
    "manifests": "Lists of files with their checksums, for verification.",
}
_STREAM = {
    "description": "Shown in the UI.",
    "host": "One of hosts.",
    "path": "The directory on the host.",
    "raw": "The directory below paths.raw.",
    "include": "Patterns of the files that belong to the stream: * within a name, ** over directories.",
    "day": "Where a path tells its UTC day: groups Y (or y), m, d (or j, the day of the year); or the word mtime.",
    "day_dirs": "The directories of one UTC day, so that a run lists no others.",
    "day_names": "How the files of one UTC day are named, so that a run lists no others.",
    "start": "The first day.",
    "settle": "A younger file is still being written and waits for the next pass.",
    "append": "true: files only grow at their end. false: they are rewritten in place.",
    "every": "How often a file comes; a check looks for gaps of more than twice that.",
    "lookback": "How far back new files are looked for every few minutes; older days are listed every six hours.",
    "stale_after": "A stream that is silent for longer is reported.",
}
_MORE = {"lookback": "2d", "stale_after": "90m", "every": "5m"}
"""Keys with a default, shown as comments where they are not set."""

_HEAD = """\
# {title}: written by `aurora init`. docs/site-file.md explains every key.
# Times are UTC; durations are 30s, 5m, 3h, 10d. Relative paths begin at this file. Write no secrets into it.
# After every change: `aurora audit`, then restart Aurora. Keys behind a # are examples: remove the # to use them.
"""
_EXAMPLES = """\
# One more stream, on any of the hosts (`aurora init --add-to` writes one):
#  weather:
#    host: {host}
#    path: {path}
#    raw: weather
#    include: ["weather_*.csv"]
#    day: 'weather_(?P<Y>\\d{{4}})(?P<m>\\d{{2}})(?P<d>\\d{{2}})'
#    start: {start}

# Sensors and schedules run as soon as the daemon does; else turn them on in the UI.
#live:
#  running: true

# Copies for the long term. The first host that answers is used; {{kind: local}} is a mounted disk. docs/archive.md.
#archive:
#  hosts:
#    - {{address: archive.example.org, user: aurora, auth: key, identity: ~/.ssh/id_ed25519}}
#  raw: /archive/{name}/raw
#  products: /archive/{name}/products

# Delete local copies of raw files of that age, each after its copy in the archive was read. Needs archive.
#retention:
#  raw: {{{stream}: 90d}}

# Who gets a mail when something is wrong. docs/health.md.
#alerts:
#  to: [operator@example.org]
#  sender: aurora@example.org
"""


@dataclass(frozen=True)
class HostDraft:
    """A host of the site file, under its name there."""

    name: str
    host: LocalHost | SshHost

    def settings(self) -> dict[str, Any]:
        """Its keys, as they stand in a file."""
        return self.host.model_dump(mode="json", exclude_none=True)


@dataclass(frozen=True)
class StreamDraft:
    """A stream of the site file; ``rules`` are its keys but for host, path and raw."""

    name: str
    host: str
    path: str
    rules: Mapping[str, Any]

    def settings(self) -> dict[str, Any]:
        """Its keys in the order in which they are written."""
        found = {"host": self.host, "path": self.path, "raw": self.name, **self.rules}
        return {key: found[key] for key in _STREAM if key in found}


@dataclass(frozen=True)
class SiteDraft:
    """A new site with one host and one stream; all of its data lies below one directory."""

    name: str
    contact: str | None
    data: Path
    host: HostDraft
    stream: StreamDraft
    state: Path | None = None
    """Where it is not below ``data``."""

    def path(self, key: str) -> Path:
        """One of its directories."""
        return self.state if key == "state" and self.state else self.data / key


def scalar(value: object) -> str:
    """A value as YAML on one line."""
    text = _dumped(value)
    return text if len(text.splitlines()) == 1 else _dumped(value, '"')


def _dumped(value: object, style: str | None = None) -> str:
    text = yaml.safe_dump(
        value, default_flow_style=True, default_style=style, allow_unicode=True, width=1 << 30, sort_keys=False
    )
    return text.removesuffix("...\n").removesuffix("\n")


def site_text(draft: SiteDraft) -> str:
    """The site file."""
    lines = [_HEAD.format(title=draft.name), "# The site's short name.", f"name: {scalar(draft.name)}"]
    lines.append(
        "# Who looks after the site: a mail address or team:<name>; shown in the UI as the owner of all assets."
    )
    lines.append(f"contact: {scalar(draft.contact)}" if draft.contact else "#contact: team:observatory")
    lines += ["", "# The directories on this machine.", "paths:"]
    for key, comment in _PATHS.items():
        lines.append(f"  {key}: {scalar(str(draft.path(key)))}  # {comment}")
    lines += ["", "# Where the files come from.", "hosts:", host_block(draft.host)]
    lines += ["", "# What is copied from the hosts, and which UTC day each file belongs to.", "streams:"]
    start = draft.stream.rules.get("start")
    lines.append(stream_block(draft.stream))
    lines.append(
        _EXAMPLES.format(
            host=draft.host.name,
            path="/data/weather",
            start=start if isinstance(start, date) else "2026-01-01",
            name=draft.name,
            stream=draft.stream.name,
        )
    )
    return "\n".join(lines)


def host_block(draft: HostDraft, indent: int = 2) -> str:
    """The lines of one host, below ``hosts:``."""
    pad = " " * indent
    comments = ["This machine."]
    if isinstance(draft.host, SshHost):
        comments = [
            "Reached over SSH; Aurora only reads. auth: none is SSH's own method, as Tailscale SSH answers it;",
            "auth: key offers the private key file `identity` and nothing else.",
        ]
    return "\n".join([*(f"{pad}# {comment}" for comment in comments), f"{pad}{draft.name}: {scalar(draft.settings())}"])


def stream_block(draft: StreamDraft, indent: int = 2) -> str:
    """The lines of one stream, below ``streams:``."""
    pad, inner = " " * indent, " " * 2 * indent
    settings = draft.settings()
    lines = [f"{pad}{draft.name}:"]
    for key, comment in _STREAM.items():
        if key in settings:
            lines += [f"{inner}# {comment}", f"{inner}{key}: {scalar(settings[key])}"]
        elif key in _MORE:
            lines += [f"{inner}# {comment}", f"#{inner[1:]}{key}: {_MORE[key]}"]
    return "\n".join(lines) + "\n"


def with_stream(text: str, file: Path, host: HostDraft | None, stream: StreamDraft) -> str | None:
    """The text of a site file with one more stream, and host, where that is new; all else stays as it is written.

    None where its ``streams`` or ``hosts`` are written in braces, or the result would not say what it should: then an
    operator has to paste the blocks.
    """
    before = site_of_text(text, file, file.parent)
    root = yaml.compose(text, yaml.SafeLoader)
    assert isinstance(root, yaml.MappingNode)  # else it were no site
    nodes = {key.value: value for key, value in root.value}
    additions: list[tuple[int, str]] = []
    for key, block in (("hosts", host), ("streams", stream)):
        node = nodes.get(key)
        if block is None:
            continue
        if not isinstance(node, yaml.MappingNode) or node.flow_style or not node.value:
            return None
        indent = node.value[0][0].start_mark.column
        lines = host_block(block, indent) if isinstance(block, HostDraft) else stream_block(block, indent)
        additions.append((_last_line(node), f"{lines.rstrip()}\n"))
    lines_of_file = re.split(r"(?<=\n)", text if text.endswith("\n") else f"{text}\n")
    for line, block_text in sorted(additions, reverse=True):
        lines_of_file.insert(line, block_text)
    result = "".join(lines_of_file)
    try:
        after = site_of_text(result, file, file.parent)
    except SiteError:
        return None
    rest = after.model_copy(
        update={
            "streams": {key: one for key, one in after.streams.items() if key != stream.name},
            "hosts": {key: one for key, one in after.hosts.items() if host is None or key != host.name},
        }
    )
    return result if rest == before and stream.name in after.streams else None


def _last_line(node: yaml.Node) -> int:
    """How many lines of the file there are up to the end of a node; what follows it (comments) does not count."""
    if isinstance(node, yaml.MappingNode) and not node.flow_style and node.value:
        return max(_last_line(one) for pair in node.value for one in pair)
    if isinstance(node, yaml.SequenceNode) and not node.flow_style and node.value:
        return max(_last_line(one) for one in node.value)
    return int(node.end_mark.line + (node.end_mark.column > 0))
