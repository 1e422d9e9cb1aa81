"""Streams: which day an entry belongs to, or why it is refused, and what is known of a source."""
