"""Writes the health files, each replaced whole: JSON for programs, one page of Markdown for people."""

from __future__ import annotations

import json
from datetime import datetime, timedelta
from pathlib import Path

from jinja2 import Environment, StrictUndefined
from pydantic import ValidationError

from aurora_platform.config.site import Site
from aurora_platform.fs.atomic import append_lines, publish_file
from aurora_platform.fs.staging import Staging
from aurora_platform.health.assessment import find_broken_stages, sorted_by_level
from aurora_platform.health.models import Assessment, Freshness, Level, Snapshot
from aurora_platform.layout import STAGING, Layout
from aurora_platform.text import format_age, printable

_TEMPLATE = """\
# {{ snapshot.site }}: {{ assessment.overall_level.upper() }}

{{ assessment.generated_at_utc.strftime("%Y-%m-%d %H:%M:%S") }} UTC; {{ counts }}. Observe-only.

{% if bad -%}
## What is wrong

{% for stream, stage in broken.items() -%}
- {{ stream }} is broken at **{{ stage }}**; the later stages fail because of that.
{% endfor %}
{% for check in bad -%}
- **{{ check.level.upper() }}** {{ check.component | line }}: {{ check.message | line }}
  {{ check.details | line }}
{% endfor %}
{% else -%}
Nothing is wrong.

{% endif -%}
## Age of the newest data

| | source | local | archive |
| --- | --- | --- | --- |
{% for row in ages -%}
| {{ row | join(" | ") }} |
{% endfor %}
{% if gray -%}
## Unknown, or planned offline

{% for check in gray -%}
- {{ check.component | line }}: {{ check.message | line }}
{% endfor %}
{% endif -%}
Software {{ snapshot.software.version }}{% if snapshot.software.commit %}, commit {{ snapshot.software.commit }}\
{% if snapshot.software.is_modified %} (modified){% endif %}{% endif %}; Dagster {{ snapshot.software.dagster }}; \
observed in {{ "%.1f" | format(snapshot.seconds) }} s.
"""


def _escape_line(text: str) -> str:
    """Make a text one line of Markdown without markup of its own."""
    return "".join(f"\\{c}" if c in "\\`*_[]<>|#" else c for c in printable(text))


_ENVIRONMENT = Environment(undefined=StrictUndefined, keep_trailing_newline=True, autoescape=False)  # noqa: S701
_ENVIRONMENT.filters["line"] = _escape_line


def as_markdown(snapshot: Snapshot, assessment: Assessment) -> str:
    """Return the report of a snapshot."""
    ordered = sorted_by_level(assessment.checks)
    summary = assessment.summary
    return _ENVIRONMENT.from_string(_TEMPLATE).render(
        snapshot=snapshot,
        assessment=assessment,
        counts=f"{summary.checks} checks: {summary.red} red, {summary.amber} amber, {summary.gray} gray, "
        f"{summary.green} green",
        bad=[check for check in ordered if check.level in (Level.RED, Level.AMBER)],
        gray=[check for check in ordered if check.level is Level.GRAY],
        broken=find_broken_stages(snapshot.freshness),
        ages=_age_rows(snapshot.freshness),
    )


def _age_rows(freshness: list[Freshness]) -> list[list[str]]:
    streams: dict[str, dict[str, str]] = {}
    for entry in freshness:
        if entry.component != "product":
            text = entry.sentence if entry.level is Level.GRAY else f"{format_age(entry.age_s)} {entry.level}"
            streams.setdefault(entry.stream, {})[entry.component] = _escape_line(text)
    products = [
        [_escape_line(entry.name), "", f"{format_age(entry.age_s)} {entry.level}", ""]
        for entry in freshness
        if entry.component == "product"
    ]
    return [
        [name, *(texts.get(component, "") for component in ("source", "here", "archive"))]
        for name, texts in streams.items()
    ] + products


def ages_of_a_day(site: Site, now: datetime) -> dict[str, list[tuple[datetime, float]]]:
    """Return time and age (s) of the newest local data, per stream over the last 24 hours, from the daily files."""
    ages: dict[str, list[tuple[datetime, float]]] = {}
    for day in (now - timedelta(days=1), now):
        try:
            text = Layout.of(site).health.snapshots(day).read_bytes()
        except OSError:
            continue  # none yet; if it cannot be read, writing the next line fails and says so
        for line in text.splitlines():
            try:
                snapshot = Snapshot.model_validate_json(line)
            except ValidationError:
                continue  # a cut line, or a line of another program
            if snapshot.generated_at_utc.tzinfo is None:
                continue
            if now - timedelta(days=1) <= snapshot.generated_at_utc <= now:
                for entry in snapshot.freshness:
                    if entry.component == "here" and entry.age_s is not None:
                        ages.setdefault(entry.stream, []).append((snapshot.generated_at_utc, entry.age_s))
    return ages


def publish_health(site: Site, snapshot: Snapshot, assessment: Assessment) -> list[Path]:
    """Write all health files and return their paths. A reader gets the earlier file or the new one, never a part."""
    day, layout = snapshot.generated_at_utc.date(), Layout.of(site)
    paths = layout.health
    report = as_markdown(snapshot, assessment)
    latest = snapshot.model_dump_json(indent=2) + "\n"
    files = {
        paths.snapshot: latest,
        paths.assessment: assessment.model_dump_json(indent=2) + "\n",
        paths.report: report,
        paths.report_of(day): report,
    }
    for target, text in files.items():
        staging = Staging(target.parent / STAGING, layout.locks, site.limits.lock)
        with staging.claim(f"health.{target.name}") as staged:
            staged.write_text(text)
            publish_file(staged, target)
    day_file = paths.snapshots(day)
    append_lines(day_file, [json.dumps(snapshot.model_dump(mode="json"))])
    return [*files, day_file]
