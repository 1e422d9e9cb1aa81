"""Measurements, each printed with the machine it was taken on. Ratios from one run count; absolute times differ."""
