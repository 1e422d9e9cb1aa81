"""Thin Dagster resources over ``aurora_platform.transport``."""
