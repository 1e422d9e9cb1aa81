"""Checks of the archive's assets: they say what the run that pushed or verified has found. Observe only."""

from collections.abc import Sequence
from datetime import timedelta

from dagster import AssetCheckResult, AssetCheckSeverity, AssetCheckSpec, AssetKey

from aurora_assets.metadata import Metadata, table
from aurora_platform.archive.replacement_log import Replaced
from aurora_platform.archive.reports import VerifyReport
from aurora_platform.archive.transfer import PushReport
from aurora_platform.text import MOST_NAMED, Count, counted

_PARKED, _STAY = "nothing_parked", "finalized_files_stay"
REPLACED_SHOWN = timedelta(days=7)
"""For so long the check says that a finalized file was replaced: somebody is to look at it."""
_GAPS, _SEEN = "no_settled_gap", "every_place_was_seen"


def evidence_specs(key: AssetKey) -> list[AssetCheckSpec]:
    """The checks of a stream's evidence."""
    return [
        AssetCheckSpec(
            _GAPS,
            asset=key,
            description="Every settled file of the source is here, and every file here is in the archive, by size, "
            "mtime and SHA-256.",
        ),
        AssetCheckSpec(
            _SEEN,
            asset=key,
            description="Source, working copy and archive could be listed and read, else nothing is proved; and what "
            "is said of the days could be copied to the archive.",
        ),
    ]


def parked_spec(key: AssetKey) -> AssetCheckSpec:
    """The check of every push."""
    return AssetCheckSpec(
        _PARKED, asset=key, description="No file was given up after `archive.max_attempts`; the table names those."
    )


def stay_spec(key: AssetKey) -> AssetCheckSpec:
    """The check of a stream's push."""
    return AssetCheckSpec(
        _STAY,
        asset=key,
        description="No file that a finalization vouches for was replaced in the archive within "
        f"{REPLACED_SHOWN.days} days. (One that is held back, because it is damaged here, is a gap of no_settled_gap.)",
    )


def finalized_files_stay(key: AssetKey, replaced: Sequence[Replaced]) -> AssetCheckResult:
    """Whether what was finalized is still what there is."""
    said = ""
    if replaced:
        said = (
            f"{counted(len(replaced), 'file')} of finalized days replaced in the archive, the last: "
            f"{replaced[0].remote_path}; the earlier version is kept in {replaced[0].kept_in}"
        )
    return AssetCheckResult(
        asset_key=key,
        check_name=_STAY,
        passed=not replaced,
        severity=AssetCheckSeverity.WARN,
        description=said,
        metadata={
            "replaced": len(replaced),
            "replaced_first": table(
                {"file": r.remote_path, "kept_in": r.kept_in, "at": r.at} for r in replaced[:MOST_NAMED]
            ),
        },
    )


def nothing_parked(key: AssetKey, reports: Sequence[PushReport]) -> AssetCheckResult:
    """Whether every file is still tried."""
    parked = Count.sum_of(report.parked for report in reports)
    return AssetCheckResult(
        asset_key=key,
        check_name=_PARKED,
        passed=not parked.total,
        severity=AssetCheckSeverity.WARN,
        description=f"{parked.total} files are not tried any more; `aurora ledger` shows them." if parked.total else "",
        metadata={"parked": parked.total, "first": "; ".join(parked.first) or "none"},
    )


def no_settled_gap(key: AssetKey, report: VerifyReport, strip: Metadata) -> AssetCheckResult:
    """Red only for files that should be there by now."""
    days = report.days
    bad = [found for found in days if found.verdict.problem_count or found.error]
    return AssetCheckResult(
        asset_key=key,
        check_name=_GAPS,
        passed=not bad,
        severity=AssetCheckSeverity.ERROR,
        description=" ".join(f"{found.day}: {found.error or found.verdict.sentence()}." for found in (bad or days)[:5]),
        metadata={
            "files": sum(found.verdict.files for found in days),
            "proved": sum(found.verdict.proved for found in days),
            "pending": sum(found.verdict.pending for found in days),
            "gaps": sum(found.verdict.problem_count for found in days),
            "first": table({"day": str(f.day), "gap": gap} for f in bad[:10] for gap in f.verdict.gaps or [f.error]),
            **strip,
        },
    )


def every_place_was_seen(key: AssetKey, report: VerifyReport, stuck: Count) -> AssetCheckResult:
    """What could not be seen is not known, and proves nothing; ``stuck`` are finalizations that could not go there."""
    said = [f"{side}: {why}" for side, why in report.errors.items()]
    said += [f"{day}: {why}" for day, why in list(report.unverified_days.items())[:MOST_NAMED]]
    if stuck.total:
        said.append(f"gws: {stuck.total} finalizations could not be copied there, the first: {stuck.first[0]}")
    return AssetCheckResult(
        asset_key=key,
        check_name=_SEEN,
        passed=not said,
        severity=AssetCheckSeverity.WARN,
        description="; ".join(said),
        metadata={"places": table({"place": s, "by": h} for s, h in report.hosts.items())},
    )
