"""Dagster's instance: launcher, storage and records. Reaches below Dagster's public interface."""
