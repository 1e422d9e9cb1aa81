"""The command ``aurora``: what an operator does from a shell. Runs of Dagster do the same work on their own."""
