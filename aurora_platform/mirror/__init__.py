"""Instrument host -> raw root: scan, plan, fetch, check. Additive: nothing is ever deleted here."""
