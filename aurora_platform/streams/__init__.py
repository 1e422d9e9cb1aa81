"""Streams: the UTC day of a listed entry or the reason of its refusal, and the recorded state of a source."""
