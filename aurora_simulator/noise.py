"""Makes random numbers that depend only on a seed and a name, so that files can be made in any order."""

from __future__ import annotations

import hashlib

import numpy as np


def noise(name: str, seed: int) -> np.random.Generator:
    """Return the random generator of this name and seed."""
    own_seed = hashlib.blake2b(f"{seed} {name}".encode(), digest_size=8).digest()
    return np.random.default_rng(int.from_bytes(own_seed))
