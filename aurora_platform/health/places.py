"""Where the health files and those of the alerts of a site are."""

from pathlib import Path

from aurora_platform.config.site import Site


def health_directory(site: Site) -> Path:
    """``<products>/ops_monitor/health``."""
    return site.paths.products / "ops_monitor" / "health"


def snapshot_file(site: Site) -> Path:
    """``<raw>/ops_monitor/latest.json``."""
    return site.paths.raw / "ops_monitor" / "latest.json"


def alerts_directory(site: Site) -> Path:
    """``<products>/ops_monitor/alerts``."""
    return site.paths.products / "ops_monitor" / "alerts"
