"""The Dagster code location: assets, checks, jobs and automation over the plain library ``aurora_platform``."""
