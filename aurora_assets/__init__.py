"""Aurora: the data platform of a remote sky observatory, as one Dagster code location."""
