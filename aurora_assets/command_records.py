"""Opens Dagster's records of a site for the command ``aurora``, through entry points.

``aurora.records`` is for ``aurora health``, ``aurora.run_records`` for ``aurora explain``.

The command imports no Dagster; it loads this module only when it needs the records.
"""

from collections.abc import Iterator
from contextlib import contextmanager

from dagster import DagsterInstance

from aurora_assets.instance.code_location import CodeLocation, code_location_of
from aurora_assets.instance.explain_records import DagsterRunRecords
from aurora_assets.instance.records import DagsterRecords
from aurora_platform.config.site import Site
from aurora_platform.errors import SiteError
from aurora_platform.health.assessment import NOT_LOADED_DETAILS
from aurora_platform.health.models import Check, Level


@contextmanager
def open_records(site: Site) -> Iterator[tuple[DagsterRecords, list[Check]]]:
    """The records below ``DAGSTER_HOME``, and a check for their code location if it cannot be loaded."""
    code, failed = _load_code_location(site)
    with DagsterInstance.get() as instance:
        yield DagsterRecords(instance, site, code), [failed] if failed else []


@contextmanager
def open_run_records(site: Site) -> Iterator[DagsterRunRecords]:
    """Open the records of runs and checks below ``DAGSTER_HOME``; the code location is not loaded."""
    with DagsterInstance.get() as instance:
        yield DagsterRunRecords(instance, site)


def _load_code_location(site: Site) -> tuple[CodeLocation | None, Check | None]:
    """The code location of a site, or a red check with the reason why it cannot be loaded."""
    try:
        # Not at the top: the import loads the code location of AURORA_SITE, and its error is the reason.
        from aurora_assets.definitions import build

        return code_location_of(build(site)), None
    except SiteError:
        return None, None  # the file of AURORA_SITE is broken; --site names another file
    except Exception as error:
        # Any error of any module: a broken code location must not hide the rest of the health report.
        reason = next(iter(str(error).strip().splitlines()), "no reason given")
        message = f"cannot be loaded: {type(error).__name__}: {reason[:300]}"
        return None, Check(level=Level.RED, component="code location", message=message, details=NOT_LOADED_DETAILS)
