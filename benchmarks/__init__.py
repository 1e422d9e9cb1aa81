"""Benchmarks, each printed with its machine. Compare ratios from one run; absolute times differ between machines."""
