"""The health files, each replaced whole: JSON for programs, Markdown for who reads one page in the morning."""

from __future__ import annotations

import json
from datetime import datetime, timedelta
from pathlib import Path

from jinja2 import Environment, StrictUndefined
from pydantic import ValidationError

from aurora_platform.config.site import Site
from aurora_platform.fs.atomic import Staging, append_lines, publish_file
from aurora_platform.health.assessment import age, broken_stages, sorted_by_level
from aurora_platform.health.models import Assessment, Freshness, Level, Snapshot
from aurora_platform.layout import STAGING, Layout
from aurora_platform.text import printable

_TEMPLATE = """\
# {{ snapshot.site }}: {{ assessment.overall_level.upper() }}

{{ assessment.generated_at_utc.strftime("%Y-%m-%d %H:%M:%S") }} UTC; {{ counts }}. Observe-only.

{% if bad -%}
## What is wrong

{% for stream, stage in broken.items() -%}
- {{ stream }} broke at **{{ stage }}**; what comes after that follows from it.
{% endfor %}
{% for check in bad -%}
- **{{ check.level.upper() }}** {{ check.component | line }}: {{ check.message | line }}
  {{ check.details | line }}
{% endfor %}
{% else -%}
Nothing is wrong.

{% endif -%}
## How new the newest data is

| | source | here | archive |
| --- | --- | --- | --- |
{% for row in ages -%}
| {{ row | join(" | ") }} |
{% endfor %}
{% if gray -%}
## Not known, or planned to be off

{% for check in gray -%}
- {{ check.component | line }}: {{ check.message | line }}
{% endfor %}
{% endif -%}
Software {{ snapshot.software.version }}{% if snapshot.software.commit %}, commit {{ snapshot.software.commit }}\
{% if snapshot.software.is_modified %} (modified){% endif %}{% endif %}; Dagster {{ snapshot.software.dagster }}; \
looked for {{ "%.1f" | format(snapshot.seconds) }} s.
"""


def _line(text: str) -> str:
    """A text from anywhere in one line of Markdown that says only what it says."""
    return "".join(f"\\{c}" if c in "\\`*_[]<>|#" else c for c in printable(text))


_ENVIRONMENT = Environment(undefined=StrictUndefined, keep_trailing_newline=True, autoescape=False)  # noqa: S701
_ENVIRONMENT.filters["line"] = _line


def as_markdown(snapshot: Snapshot, assessment: Assessment) -> str:
    """The report of a snapshot."""
    ordered = sorted_by_level(assessment.checks)
    summary = assessment.summary
    return _ENVIRONMENT.from_string(_TEMPLATE).render(
        snapshot=snapshot,
        assessment=assessment,
        counts=f"{summary.checks} checks: {summary.red} red, {summary.amber} amber, {summary.gray} gray, "
        f"{summary.green} green",
        bad=[check for check in ordered if check.level in (Level.RED, Level.AMBER)],
        gray=[check for check in ordered if check.level is Level.GRAY],
        broken=broken_stages(snapshot.freshness),
        ages=_ages(snapshot.freshness),
    )


def _ages(freshness: list[Freshness]) -> list[list[str]]:
    streams: dict[str, dict[str, str]] = {}
    for one in freshness:
        if one.component != "product":
            text = one.sentence if one.level is Level.GRAY else f"{age(one.age_s)} {one.level}"
            streams.setdefault(one.stream, {})[one.component] = _line(text)
    products = [
        [_line(one.name), "", age(one.age_s) + f" {one.level}", ""] for one in freshness if one.component == "product"
    ]
    return [
        [name, *(found.get(c, "") for c in ("source", "here", "archive"))] for name, found in streams.items()
    ] + products


def ages_of_a_day(site: Site, now: datetime) -> dict[str, list[tuple[datetime, float]]]:
    """The ages of the newest data of each stream here over the last 24 hours, by the lines that were written."""
    lines: dict[str, list[tuple[datetime, float]]] = {}
    for day in (now - timedelta(days=1), now):
        place = Layout.of(site).health.snapshots(day)
        try:
            text = place.read_bytes()
        except OSError:
            continue  # none yet; that it cannot be read is seen when the next line is written
        for line in text.splitlines():
            try:
                snapshot = Snapshot.model_validate_json(line)
            except ValidationError:
                continue  # a line that was cut, or one of another program
            if snapshot.generated_at_utc.tzinfo is None:
                continue
            if now - timedelta(days=1) <= snapshot.generated_at_utc <= now:
                for one in snapshot.freshness:
                    if one.component == "here" and one.age_s is not None:
                        lines.setdefault(one.stream, []).append((snapshot.generated_at_utc, one.age_s))
    return lines


def publish_health(site: Site, snapshot: Snapshot, assessment: Assessment) -> list[Path]:
    """Write all health files; returns them. A reader sees the earlier file or the new one."""
    day, layout = snapshot.generated_at_utc.date(), Layout.of(site)
    places = layout.health
    report = as_markdown(snapshot, assessment)
    latest = snapshot.model_dump_json(indent=2) + "\n"
    files = {
        places.snapshot: latest,
        places.assessment: assessment.model_dump_json(indent=2) + "\n",
        places.report: report,
        places.report_of(day): report,
    }
    for target, text in files.items():
        staging = Staging(target.parent / STAGING, layout.locks, site.limits.lock)
        with staging.claim(f"health.{target.name}") as place:
            place.write_text(text)
            publish_file(place, target)
    line = places.snapshots(day)
    append_lines(line, [json.dumps(snapshot.model_dump(mode="json"))])
    return [*files, line]
