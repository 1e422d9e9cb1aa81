"""Aurora: the data platform of a remote sky observatory, as a plain library. It knows no Dagster."""
