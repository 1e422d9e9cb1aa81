"""The command ``aurora``: what an operator does from a shell. The assets do the same work by themselves."""
