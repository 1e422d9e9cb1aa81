"""The outside world, one class each: a shell, ssh, rsync. They implement the small protocols of the plain modules."""
