"""Dagster's records of a site, for who looks at it from a shell: found by the entry point ``aurora.records``.

The command ``aurora`` knows no Dagster, and loads it through this door only when it has something to ask of it.
"""

from collections.abc import Iterator
from contextlib import contextmanager

from dagster import DagsterInstance

from aurora_assets.instance.code_location import CodeLocation, code_location_of
from aurora_assets.instance.records import DagsterRecords
from aurora_platform.config.site import Site
from aurora_platform.errors import SiteError
from aurora_platform.health.assessment import NOT_LOADED_DETAILS
from aurora_platform.health.models import Check, Level


@contextmanager
def open_records(site: Site) -> Iterator[tuple[DagsterRecords, list[Check]]]:
    """The records below ``DAGSTER_HOME``, and what is wrong with the code location that they are of."""
    code, broken = _code_of(site)
    with DagsterInstance.get() as instance:
        yield DagsterRecords(instance, site, code), [broken] if broken else []


def _code_of(site: Site) -> tuple[CodeLocation | None, Check | None]:
    """What the code location of a site has, or why it cannot be loaded."""
    try:
        # Not at the top: to import it is to load the code location of AURORA_SITE, and what that raises is the answer.
        from aurora_assets.definitions import build

        return code_location_of(build(site)), None
    except SiteError:
        return None, None  # AURORA_SITE names a file that is broken; that of --site is another
    except Exception as error:
        # Whatever any module of it raises: that the platform is broken is no reason to show nothing.
        first = next(iter(str(error).strip().splitlines()), "no reason given")
        said = f"cannot be loaded: {type(error).__name__}: {first[:300]}"
        return None, Check(level=Level.RED, component="code location", message=said, details=NOT_LOADED_DETAILS)
