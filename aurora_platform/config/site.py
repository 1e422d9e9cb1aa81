"""The site file as typed settings: every path, host, stream and duration of an observatory.

:func:`load_site` parses it once into frozen models that refuse unknown keys; they are trusted after that. The site file
holds no secrets: it names environment variables for them. ``python -m aurora_platform.config.site check FILE`` reports
the mistakes of a file, or prints its resolved settings.
"""

import os
import re
from datetime import date
from pathlib import Path
from typing import Any, Self

import yaml
from pydantic import Field, ValidationError, ValidationInfo, model_validator

from aurora_platform.config.archive import Archive, Retention
from aurora_platform.config.health import Alerts, Endpoints, Health
from aurora_platform.config.hosts import KINDS, Host
from aurora_platform.config.limits import Limits
from aurora_platform.config.live import Live
from aurora_platform.config.package_files import CHECKOUT, DEMO_DIRECTORY, DEMO_SITE, demo_site_text
from aurora_platform.config.streams import Stream
from aurora_platform.config.types import (
    Contact,
    Name,
    Settings,
    SitePath,
    Umask,
    UnquotedPath,
    expanded,
    resolved,
)
from aurora_platform.errors import SiteError
from aurora_platform.fs.disk_errors import OF_DISKS, next_step
from aurora_platform.layout import COLLECTIONS, PRODUCTS, ArchiveLayout
from aurora_platform.text import counted

DEFAULT_SITE = DEMO_SITE

# A site file has a page or two; a larger file is a mistake (for example a data file).
_MAX_SITE_BYTES = 1 << 20


class Paths(Settings):
    """The roots on this machine."""

    raw: SitePath
    products: SitePath
    state: UnquotedPath
    manifests: SitePath


class Site(Settings):
    """An observatory: its paths, hosts, streams and archive."""

    name: Name
    contact: Contact | None = None
    """Who looks after the site: a mail address, or ``team:<name>``; the owner of every asset in the UI."""
    paths: Paths
    hosts: dict[Name, Host] = Field(min_length=1)
    streams: dict[Name, Stream] = Field(min_length=1)
    archive: Archive | None = None
    retention: Retention = Retention()
    health: Health = Health()
    alerts: Alerts | None = None
    endpoints: Endpoints = Field(default_factory=dict)
    limits: Limits = Limits()
    live: Live = Live()
    umask: Umask = "027"
    """Of the programs of this site: others than the owner's group may not read what they write."""

    @model_validator(mode="before")
    @classmethod
    def _place_streams(cls, data: Any, info: ValidationInfo) -> Any:
        """Resolve the source paths: relative to the site file on this machine, absolute on any other host."""
        if not isinstance(data, dict) or not isinstance(data.get("streams"), dict):
            return data
        hosts = data.get("hosts")
        hosts = hosts if isinstance(hosts, dict) else {}
        streams = {}
        for name, stream in data["streams"].items():
            if isinstance(stream, dict) and isinstance(stream.get("path"), str):
                host = hosts.get(str(stream.get("host")))
                kind = host.get("kind") if isinstance(host, dict) else None
                model = KINDS.get(kind) if isinstance(kind, str) else None
                if model and model.is_local:
                    try:
                        stream = {**stream, "path": str(resolved(stream["path"], info))}
                    except ValueError as error:
                        raise ValueError(f"streams.{name}.path: {error}") from None
                elif model and not stream["path"].startswith("/"):
                    raise ValueError(f"streams.{name}.path: must be absolute on a host of kind {kind}")
            streams[name] = stream
        return {**data, "streams": streams}

    @model_validator(mode="after")
    def _streams_fit_hosts(self) -> Self:
        for name, stream in self.streams.items():
            if stream.host not in self.hosts:
                hosts = ", ".join(self.hosts)
                raise ValueError(f"streams.{name}.host: {stream.host!r} is not one of hosts ({hosts})")
        return self

    @model_validator(mode="after")
    def _streams_have_names_of_their_own(self) -> Self:
        for name in (*COLLECTIONS, PRODUCTS):
            if name in self.streams:
                raise ValueError(f"streams.{name}: Aurora's own proofs of products have this name; choose another one")
        return self

    @model_validator(mode="after")
    def _archive_is_apart(self) -> Self:
        """Refuse an archive on this machine that shares a directory with the files it is to be a copy of.

        By the names alone: a disk that does not answer must not keep the site file from being read. Symlinks are
        followed before each use (:mod:`aurora_platform.transport.local_archive`).
        """
        if self.archive is None or self.archive.directory is None:
            return self
        used = {f"paths.{name}": path for name, path in self.paths}
        used |= {
            f"streams.{name}.path": Path(stream.path)
            for name, stream in self.streams.items()
            if self.hosts[stream.host].is_local
        }
        layout = ArchiveLayout.of(self.archive)
        for name in ("raw", "products", "manifests", "versions"):
            path = Path(getattr(layout, name))
            for key, other in used.items():
                if path.is_relative_to(other) or other.is_relative_to(path):
                    message = f"{path} and {key} ({other}) must be apart: neither inside the other"
                    raise ValueError(f"archive.{name}: {message}")
        return self

    @model_validator(mode="after")
    def _retention_fits_streams(self) -> Self:
        for name in self.retention.raw:
            if name not in self.streams:
                raise ValueError(f"retention.raw.{name}: not one of streams ({', '.join(self.streams)})")
        if self.retention.raw and self.archive is None:
            raise ValueError("retention.raw: needs archive; without a copy in an archive no file is ever deleted")
        return self


class _Loader(yaml.SafeLoader):
    """A safe loader that also refuses duplicate keys; plain YAML would silently keep the last.

    Not yaml.CSafeLoader, which takes 1 ms in place of 8: 200,000 opening brackets end its process.
    """

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        keys = set()
        for key_node, _ in node.value:
            key = self.construct_object(key_node, deep=True)
            if not isinstance(key, str | int | float | bool | date | None):
                raise yaml.constructor.ConstructorError(None, None, "a key must be a plain word", key_node.start_mark)
            if key in keys:
                raise yaml.constructor.ConstructorError(None, None, f"duplicate key {key!r}", key_node.start_mark)
            keys.add(key)
        return super().construct_mapping(node, deep)


def load_site(file: Path | None = None) -> Site:
    """Read a site file.

    Parameters
    ----------
    file
        The YAML file; without it the file that ``AURORA_SITE`` names, and without that the demo's: ``sites/demo.yaml``
        of a checkout, or in an installed package the file that ``aurora demo`` writes below the working directory.

    Raises
    ------
    SiteError
        With one message that names every wrong key and its allowed values.
    """
    path = _path_of(file)
    if path == DEFAULT_SITE and CHECKOUT is None:
        return site_of_text(demo_site_text(), path, Path.cwd() / DEMO_DIRECTORY)
    try:
        path = expanded(path).absolute()
        with path.open("rb") as stream:
            text = stream.read(_MAX_SITE_BYTES + 1)
        if len(text) > _MAX_SITE_BYTES:
            raise SiteError(f"{path}: larger than {_MAX_SITE_BYTES} bytes; this is not a site file")
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        if isinstance(error, OSError) and error.errno in OF_DISKS:
            raise SiteError(f"{path}: {reason}. {next_step(error.errno, path)}", transient=True) from None
        raise SiteError(f"{path}: {reason}. Set AURORA_SITE to the site file, or unset it for the demo.") from None
    return site_of_text(text, path, path.parent)


def _path_of(file: Path | None) -> Path:
    return Path(file or os.environ.get("AURORA_SITE") or DEFAULT_SITE)


def site_of_text(text: str | bytes, path: Path, base: Path) -> Site:
    """Parse the text of a site file; ``path`` is for messages, relative paths are relative to ``base``."""
    try:
        data = yaml.load(text, _Loader)  # noqa: S506 - a SafeLoader
    except (yaml.YAMLError, ValueError, TypeError, LookupError, AttributeError, RecursionError) as error:
        # PyYAML raises its own error for invalid syntax, but not for a value like 2026-02-31.
        reason = " ".join(str(error).split()).replace('in "<byte string>", ', "at ")  # the message names the file
        raise SiteError(f"{path}: not YAML: {reason}") from None
    try:
        return Site.model_validate(data, context={"base": base})
    except ValidationError as error:
        raise SiteError(f"{path}: {_explain(error)}") from None


# pydantic's own messages for these describe Python, not YAML.
_DATE = "must be a date, as 2026-01-12"
_KEYS = "must be keys with values, as in sites/demo.yaml"
_NUMBER = "must be a whole number"
_BOOL = "must be true or false"
_MESSAGES = {
    "tuple_type": "must be a list, in brackets or with a dash per item",
    "model_type": _KEYS,
    "model_attributes_type": _KEYS,
    "dict_type": "must be names with settings, as in sites/demo.yaml",
    "union_tag_invalid": f"kind must be {' or '.join(KINDS)}",
    "union_tag_not_found": f"kind is missing: {' or '.join(KINDS)}",
    "extra_forbidden": "unknown key: remove it, or see docs/site-file.md for the existing keys",
    "missing": "missing: it has no default",
    "too_short": "empty: needs at least one item",
    "date_type": _DATE,
    "date_parsing": _DATE,
    "date_from_datetime_parsing": _DATE,
    "date_from_datetime_inexact": _DATE,
    "bool_type": _BOOL,
    "bool_parsing": _BOOL,
    "string_type": "must be text (put a number or date in quotes)",
    "literal_error": "must be {expected}",
    "int_type": _NUMBER,
    "int_parsing": _NUMBER,
    "int_from_float": _NUMBER,
    "greater_than_equal": "must be at least {ge}",
    "less_than_equal": "must be at most {le}",
}


def _explain(error: ValidationError) -> str:
    """The mistakes, one per line if there are several."""
    lines = []
    items = error.errors(include_url=False, include_input=False)
    # A list whose items are all wrong counts as empty too: that is not a second mistake.
    with_wrong_items = {item["loc"][:end] for item in items for end in range(len(item["loc"]))}
    for item in items:
        if item["type"] == "too_short" and item["loc"] in with_wrong_items:
            continue
        location = list(item["loc"])
        kind = 2 if location[:1] == ["hosts"] else 3 if location[:2] == ["archive", "hosts"] else len(location)
        if len(location) > kind and location[kind] in KINDS:
            del location[kind]  # the kind, which pydantic adds: it is not a key of the file
        key = ".".join(str(part) for part in location) or "the file"
        limits = {name: _as_setting(value) for name, value in item.get("ctx", {}).items()}
        message = _MESSAGES.get(item["type"])
        lines.append(f"{key}: {message.format(**limits) if message else item['msg'].removeprefix('Value error, ')}")
    return lines[0] if len(lines) == 1 else "\n  ".join([f"{len(lines)} mistakes:", *lines])


def _as_setting(limit: object) -> str:
    """A limit in the notation of a site file; pydantic gives a duration in Python's notation."""
    return re.sub(r"datetime\.timedelta\(days=(\d+)\)", r"\1d", str(limit))


def main() -> None:
    """Entry point of ``python -m aurora_platform.config.site``."""
    import click

    @click.group(help="Check site files.")
    def cli() -> None: ...

    @cli.command(help="Report the mistakes of FILE (exit code 1), or print its resolved settings.")
    @click.argument("file", type=click.Path(path_type=Path), required=False)
    def check(file: Path | None) -> None:
        try:
            site = load_site(file)
        except SiteError as error:
            raise click.ClickException(str(error)) from None
        archive = "an archive" if site.archive else "no archive"
        settings = site.model_dump(mode="json")
        if site.archive:  # also the directories that the site file leaves to us
            layout = ArchiveLayout.of(site.archive)
            settings["archive"] |= {"manifests": layout.manifests, "versions": layout.versions}
        counts = f"{counted(len(site.hosts), 'host')}, {counted(len(site.streams), 'stream')}, {archive}"
        click.echo(f"{_path_of(file)}: valid (site {site.name}: {counts})", err=True)
        click.echo(yaml.safe_dump(settings, sort_keys=False, allow_unicode=True), nl=False)

    cli()


if __name__ == "__main__":
    main()
