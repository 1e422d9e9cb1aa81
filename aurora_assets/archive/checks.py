"""Checks of the archive's assets. They report the findings of the run that pushed or verified; they change nothing."""

from collections.abc import Iterable, Mapping, Sequence
from datetime import timedelta

from dagster import AssetCheckResult, AssetCheckSeverity, AssetCheckSpec, AssetKey

from aurora_assets.metadata import Metadata, table
from aurora_platform.archive.change_rule import MOST_OF_DAY, ChangeState, Decision
from aurora_platform.archive.product_reports import ProductsReport
from aurora_platform.archive.replacement_log import Replaced
from aurora_platform.archive.reports import VerifyReport
from aurora_platform.archive.restore_drill import DrillReport
from aurora_platform.archive.transfer import PushReport
from aurora_platform.layout import SIDE_NAMES
from aurora_platform.text import MOST_NAMED, Count, counted, printable

_PARKED, _STAY, _READ = "nothing_parked", "finalized_files_stay", "copies_can_be_read_back"
REPLACED_PERIOD = timedelta(days=7)
"""The check fails for this long after a finalized file was replaced, so that an operator notices it."""
_GAPS, _SEEN, _HELD = "no_settled_gap", "every_place_was_seen", "no_change_is_held_back"
_RESTORED = "a_day_can_be_restored"
_PROVED, _PRODUCTS_SEEN = "products_are_proved", "every_product_place_was_seen"

_CHECKS = {
    _GAPS: "No file is missing or different, local or in the archive (size, mtime, SHA-256). Files that still change "
    "or are on their way do not count. A failure lists the files by day.",
    _SEEN: "Source, local files and archive could be listed and read, and the proofs of complete days (finalizations) "
    "were copied to the archive. A failure names the place and the error; files of that place were not verified.",
    _HELD: "No file of a finalized day has changed at its source later than `revisable` allows, or together with many "
    "others. A failure lists such files: the local copies and the archive keep the finalized versions until you accept "
    "the changes (`aurora accept`).",
    _PARKED: "Aurora has not given up any file. A failure names the files that could not be copied "
    "`archive.max_attempts` times (*parked*). They are tried again when they change, or by `aurora ledger --retry`.",
    _READ: "The files that the push fetched again from the archive (`archive.read_back`) have the bytes that it sent. "
    "A failure names the files. They count as not copied, and are sent again.",
    _RESTORED: "A finalized day was fetched from the archive, and every file is as it was finalized. A failure names "
    "the day, and the files or the error.",
    _PROVED: "No product and no registered file is missing or different, local or in the archive. "
    "Files that still change or are on their way do not count. A failure lists the files.",
    _PRODUCTS_SEEN: "The products could be listed and read, local and in the archive, and their finalizations were "
    "copied. A failure names the place and the error; its products were not verified.",
    _STAY: f"No file of a finalized day was replaced in the archive in the last {REPLACED_PERIOD.days} days. A failure "
    "names the replaced files and where their earlier versions are kept. (A damaged local file is not pushed; the "
    "check no_settled_gap reports it.)",
}


def verify_specs(key: AssetKey) -> list[AssetCheckSpec]:
    """The checks of a stream's manifests."""
    return _specs(key, _GAPS, _SEEN, _HELD)


def product_specs(key: AssetKey) -> list[AssetCheckSpec]:
    """The checks of the proof of products."""
    return _specs(key, _PROVED, _PRODUCTS_SEEN)


def push_specs(key: AssetKey) -> list[AssetCheckSpec]:
    """The checks of every push."""
    return _specs(key, _PARKED, _READ)


def raw_push_specs(key: AssetKey) -> list[AssetCheckSpec]:
    """The checks of a stream's push."""
    return _specs(key, _PARKED, _READ, _STAY)


def restore_drill_spec(key: AssetKey) -> AssetCheckSpec:
    """The check of the restore drill."""
    return _specs(key, _RESTORED)[0]


def a_day_can_be_restored(key: AssetKey, report: DrillReport) -> AssetCheckResult:
    """Whether the archive gave a finalized day back; passes where no day is finalized yet."""
    return AssetCheckResult(
        asset_key=key,
        check_name=_RESTORED,
        passed=report.is_success or (report.day is None and not report.error),
        severity=AssetCheckSeverity.ERROR,
        description=report.summary(),
        metadata={"restored_files": report.files, "wrong": report.wrong.total}
        | table("wrong_first", ({"file": name} for name in report.wrong.first)),
    )


def products_are_proved(key: AssetKey, report: ProductsReport) -> AssetCheckResult:
    """Whether every product that has settled is in both places, as it should be."""
    return AssetCheckResult(
        asset_key=key,
        check_name=_PROVED,
        passed=not any(found.gaps for found in report.collections),
        severity=AssetCheckSeverity.ERROR,
        description=report.summary(),
        metadata={
            "proved": sum(found.proved for found in report.collections),
            "pending": sum(found.pending for found in report.collections),
            "gaps": sum(found.gaps for found in report.collections),
        }
        | table(
            "gaps_first",
            ({"collection": found.name, "gap": gap} for found in report.collections for gap in found.gaps_first),
        ),
    )


def every_product_place_was_seen(key: AssetKey, report: ProductsReport) -> AssetCheckResult:
    """Whether both places of all products were listed and read, and all finalizations were copied."""
    problems = [f"{found.name}: {why}" for found in report.collections for why in found.problems]
    if report.not_copied.total:
        problems.append(f"{report.not_copied.total} finalizations were not copied: {report.not_copied.first[0]}")
    return AssetCheckResult(
        asset_key=key,
        check_name=_PRODUCTS_SEEN,
        passed=not problems,
        severity=AssetCheckSeverity.WARN,
        description="; ".join(problems[:MOST_NAMED]) or "local products and archive were listed and read",
    )


def _specs(key: AssetKey, *names: str) -> list[AssetCheckSpec]:
    return [AssetCheckSpec(name, asset=key, description=_CHECKS[name]) for name in names]


def finalized_files_stay(key: AssetKey, replaced: Sequence[Replaced]) -> AssetCheckResult:
    """Whether no finalized file was replaced."""
    description = f"no file of a finalized day was replaced in the last {REPLACED_PERIOD.days} days"
    if replaced:
        description = (
            f"{counted(len(replaced), 'file')} of finalized days replaced in the archive, the last: "
            f"{replaced[0].remote_path}; the earlier version is kept in {replaced[0].kept_in}"
        )
    return AssetCheckResult(
        asset_key=key,
        check_name=_STAY,
        passed=not replaced,
        severity=AssetCheckSeverity.WARN,
        description=description,
        metadata={"replaced": len(replaced)}
        | table(
            "replaced_first",
            ({"file": r.remote_path, "kept_in": r.kept_in, "at": r.at} for r in replaced[:MOST_NAMED]),
        ),
    )


def nothing_parked(
    key: AssetKey, reports: Sequence[PushReport], of_other_archives: Mapping[str, int] | None = None
) -> AssetCheckResult:
    """Whether no file is parked, and none is registered for an archive that the site does not have."""
    parked = Count.sum_of(report.parked for report in reports)
    problems = [
        f"{counted(files, 'file')} registered for {name!r}, which is not the archive of this site"
        for name, files in (of_other_archives or {}).items()
    ]
    if parked.total:
        problems.append(
            f"{counted(parked.total, 'file')} parked, the first: {parked.first[0]}; `aurora ledger` lists them"
        )
    return AssetCheckResult(
        asset_key=key,
        check_name=_PARKED,
        passed=not problems,
        severity=AssetCheckSeverity.WARN,
        description="; ".join(problems) or "no file is parked",
        metadata={"parked": parked.total} | ({"first": "; ".join(parked.first)} if parked.first else {}),
    )


def copies_can_be_read_back(key: AssetKey, reports: Sequence[PushReport]) -> AssetCheckResult:
    """Whether the files that were read back from the archive are as they were sent."""
    wrong = Count.sum_of(report.read_back_wrong for report in reports)
    failed = Count.sum_of(report.read_back_failed for report in reports)
    files = sum(report.read_back for report in reports)
    description = f"{counted(files, 'file')} read back, as sent" if files else "no new file to read back"
    if wrong.total:
        description = (
            f"{wrong.total} of {counted(files, 'file')} read back are not as sent, the first: {wrong.first[0]}"
        )
    elif failed.total:
        description = f"copied files could not be read back: {failed.first[0]}"
    return AssetCheckResult(
        asset_key=key,
        check_name=_READ,
        passed=not (wrong.total or failed.total),
        severity=AssetCheckSeverity.ERROR if wrong.total else AssetCheckSeverity.WARN,
        description=description,
        metadata={
            "read_back": files,
            "read_back_bytes": sum(report.read_back_bytes for report in reports),
            "wrong": wrong.total,
        },
    )


def no_settled_gap(key: AssetKey, report: VerifyReport, coverage: Metadata) -> AssetCheckResult:
    """Whether all settled files are complete; files that are still on their way do not fail it."""
    days = report.days
    bad = [day for day in days if day.verdict.problem_count or day.error]
    return AssetCheckResult(
        asset_key=key,
        check_name=_GAPS,
        passed=not bad,
        severity=AssetCheckSeverity.ERROR,
        description=" ".join(f"{day.day}: {day.error or day.verdict.sentence()}." for day in (bad or days)[:5]),
        metadata={
            "files": sum(day.verdict.files for day in days),
            "proved": sum(day.verdict.proved for day in days),
            "pending": sum(day.verdict.pending for day in days),
            "gaps": sum(day.verdict.problem_count for day in days),
            **table(
                "first",
                (
                    {"day": str(day.day), "gap": reason}
                    for day in bad[:10]
                    for reason in day.verdict.gaps or [day.error]
                ),
            ),
            **coverage,
        },
    )


def no_change_is_held_back(key: AssetKey, stream: str, decisions: Iterable[Decision]) -> AssetCheckResult:
    """Whether no change at the source is held back, on any day of the stream."""
    held = [decision for decision in decisions if decision.state is ChangeState.HELD]
    description = "no finalized file has changed at the source without a new version that was accepted"
    if held:
        first = held[0].change
        description = (
            f"{counted(len(held), 'change')} of finalized files held back, the first: {printable(first.path)} of "
            f"{first.day}: {held[0].why}. `aurora accept {stream} --day {first.day}` shows both versions"
        )
    return AssetCheckResult(
        asset_key=key,
        check_name=_HELD,
        passed=not held,
        severity=AssetCheckSeverity.ERROR if len(held) > MOST_OF_DAY else AssetCheckSeverity.WARN,
        description=description,
        metadata={"held_back": len(held)}
        | table(
            "held_back_first",
            ({"day": str(d.change.day), "file": printable(d.change.path), "reason": d.why} for d in held[:MOST_NAMED]),
        ),
    )


def every_place_was_seen(key: AssetKey, report: VerifyReport, not_copied: Count) -> AssetCheckResult:
    """Whether all places were listed and read, and no finalization is ``not_copied`` to the archive."""
    problems = [f"{SIDE_NAMES[side]}: {reason}" for side, reason in report.errors.items()]
    problems += [f"{day}: {reason}" for day, reason in list(report.unverified_days.items())[:MOST_NAMED]]
    if not_copied.total:
        problems.append(
            f"archive: {not_copied.total} finalizations could not be copied to it, the first: {not_copied.first[0]}"
        )
    return AssetCheckResult(
        asset_key=key,
        check_name=_SEEN,
        passed=not problems,
        severity=AssetCheckSeverity.WARN,
        description="; ".join(problems) or "source, local files and archive were listed and read",
        metadata=table(
            "places",
            (
                {"place": SIDE_NAMES[side], "host": "this machine" if side == "local" else host}
                for side, host in report.hosts.items()
            ),
        ),
    )
