"""The site file as typed settings: every path, host, stream and duration of an observatory.

Parsed once, where it enters (:func:`load_site`), into frozen models that refuse unknown keys; trusted after that. It
holds no secrets: those are named by environment variable. ``python -m aurora_platform.config.site check FILE`` says
what is wrong with a file, or prints what it resolves to.
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
    UnquotedPath,
    expanded,
    resolved,
)
from aurora_platform.errors import SiteError

DEFAULT_SITE = DEMO_SITE

# A site file is a page or two; anything larger is a mistake (a data file named by accident).
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

    @model_validator(mode="before")
    @classmethod
    def _place_streams(cls, data: Any, info: ValidationInfo) -> Any:
        """Resolve the source paths: below the site file where the host is this machine, absolute on any other."""
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
                    raise ValueError(f"streams.{name}.path: absolute on a host of kind {kind}")
            streams[name] = stream
        return {**data, "streams": streams}

    @model_validator(mode="after")
    def _streams_fit_hosts(self) -> Self:
        for name, stream in self.streams.items():
            if stream.host not in self.hosts:
                known = ", ".join(self.hosts)
                raise ValueError(f"streams.{name}.host: {stream.host!r} is not one of hosts ({known})")
        return self

    @model_validator(mode="after")
    def _retention_fits_streams(self) -> Self:
        for name in self.retention.raw:
            if name not in self.streams:
                raise ValueError(f"retention.raw.{name}: not one of streams ({', '.join(self.streams)})")
        if self.retention.raw and self.archive is None:
            raise ValueError("retention.raw: needs archive; what is in no archive is never deleted here")
        return self


class _Loader(yaml.SafeLoader):
    """A safe loader that also refuses a key given twice, of which YAML would silently keep the last."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        seen = set()
        for key_node, _ in node.value:
            key = self.construct_object(key_node, deep=True)
            if not isinstance(key, str | int | float | bool | date | None):
                raise yaml.constructor.ConstructorError(None, None, "a key is a plain word", key_node.start_mark)
            if key in seen:
                raise yaml.constructor.ConstructorError(None, None, f"key {key!r} stands twice", key_node.start_mark)
            seen.add(key)
        return super().construct_mapping(node, deep)


def load_site(file: Path | None = None) -> Site:
    """Read a site file.

    Parameters
    ----------
    file
        The YAML file; without it the one that ``AURORA_SITE`` names, and without that the demo's: ``sites/demo.yaml``
        of a checkout. An installed package's demo is what ``aurora demo`` writes below the working directory.

    Raises
    ------
    SiteError
        With one message that names every wrong key and what it should be.
    """
    path = Path(file or os.environ.get("AURORA_SITE") or DEFAULT_SITE)
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
        raise SiteError(f"{path}: {reason}. Set AURORA_SITE to the site file, or unset it for the demo.") from None
    return site_of_text(text, path, path.parent)


def site_of_text(text: str | bytes, path: Path, base: Path) -> Site:
    """The site that a site file's text says; ``path`` is for messages, relative paths begin at ``base``."""
    try:
        data = yaml.load(text, _Loader)  # noqa: S506 - a SafeLoader
    except (yaml.YAMLError, ValueError, TypeError, LookupError, AttributeError, RecursionError) as error:
        # PyYAML has an error of its own for what it cannot parse, but not for a value like 2026-02-31.
        said = " ".join(str(error).split()).replace('in "<byte string>", ', "at ")  # the file is named already
        raise SiteError(f"{path}: not YAML: {said}") from None
    try:
        return Site.model_validate(data, context={"base": base})
    except ValidationError as error:
        raise SiteError(f"{path}: {_explain(error)}") from None


# pydantic's own words for these speak of Python, not of YAML.
_A_DAY = "a day, as 2026-01-12"
_KEYS = "keys with values, as in sites/demo.yaml"
_NUMBER = "a whole number"
_PLAIN = {
    "tuple_type": "a list, in brackets or with a dash for each",
    "model_type": _KEYS,
    "model_attributes_type": _KEYS,
    "dict_type": "names with settings, as in sites/demo.yaml",
    "union_tag_invalid": f"kind is {' or '.join(KINDS)}",
    "union_tag_not_found": f"kind is missing: {' or '.join(KINDS)}",
    "extra_forbidden": "unknown key: remove it, or see docs/site-file.md for the keys there are",
    "missing": "missing: it has no default",
    "too_short": "empty: at least one has to stand here",
    "date_type": _A_DAY,
    "date_parsing": _A_DAY,
    "date_from_datetime_parsing": _A_DAY,
    "date_from_datetime_inexact": _A_DAY,
    "bool_type": "true or false",
    "bool_parsing": "true or false",
    "string_type": "text (a number or date becomes text in quotes)",
    "string_pattern_mismatch": "a path, absolute where it is on another machine, without control characters",
    "literal_error": "{expected}",
    "int_type": _NUMBER,
    "int_parsing": _NUMBER,
    "int_from_float": _NUMBER,
    "greater_than_equal": "at least {ge}",
    "less_than_equal": "at most {le}",
}


def _explain(error: ValidationError) -> str:
    """Each mistake on a line of its own, where there are several."""
    lines = []
    for item in error.errors(include_url=False, include_input=False):
        where = list(item["loc"])
        if where[:1] == ["hosts"] and len(where) > 2 and where[2] in KINDS:
            del where[2]  # the kind, which pydantic puts there: a reader looks for the keys that stand in the file
        key = ".".join(str(part) for part in where) or "the file"
        known = {name: _in_a_file(value) for name, value in item.get("ctx", {}).items()}
        plain = _PLAIN.get(item["type"])
        lines.append(f"{key}: {plain.format(**known) if plain else item['msg'].removeprefix('Value error, ')}")
    return lines[0] if len(lines) == 1 else "\n  ".join([f"{len(lines)} mistakes:", *lines])


def _in_a_file(limit: object) -> str:
    """A limit as one would write it in a site file; pydantic gives that of a duration as Python's."""
    return re.sub(r"datetime\.timedelta\(days=(\d+)\)", r"\1d", str(limit))


def main() -> None:
    """Entry point of ``python -m aurora_platform.config.site``."""
    import click

    @click.group(help="Look at site files.")
    def cli() -> None: ...

    @cli.command(help="Say what is wrong with FILE (exit code 1), or print what it resolves to.")
    @click.argument("file", type=click.Path(path_type=Path), required=False)
    def check(file: Path | None) -> None:
        try:
            site = load_site(file)
        except SiteError as error:
            raise click.ClickException(str(error)) from None
        click.echo(yaml.safe_dump(site.model_dump(mode="json"), sort_keys=False, allow_unicode=True), nl=False)

    cli()


if __name__ == "__main__":
    main()
