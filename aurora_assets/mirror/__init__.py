"""Instrument host -> raw root: list, plan, fetch, verify. Additive: nothing is ever deleted here."""
