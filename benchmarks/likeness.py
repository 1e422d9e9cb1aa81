"""How alike two pictures are."""

from __future__ import annotations

from collections.abc import Sequence

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


def joined(each: Sequence[float]) -> float:
    """The ratio over several pairs of pictures of much the same size, dB: that of their mean squared error."""
    return float(-10 * np.log10(np.mean([10 ** (-one / 10) for one in each])))
