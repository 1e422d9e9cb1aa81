"""How alike two pictures are."""

from __future__ import annotations

import numpy as np


def psnr(one: np.ndarray, other: np.ndarray) -> float:
    """Peak signal-to-noise ratio of two arrays of uint8 of one shape, dB; infinite where they are the same.

    Raises
    ------
    ValueError
        Where the shapes differ.
    """
    if one.shape != other.shape:
        raise ValueError(f"pictures of {one.shape} and {other.shape}")
    error = np.mean((one.astype(np.float32) - other.astype(np.float32)) ** 2, dtype=np.float64)
    return float(10 * np.log10(255**2 / error)) if error else float("inf")
