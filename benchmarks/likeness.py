"""Computes the similarity of images (PSNR)."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np


def psnr(a: np.ndarray, b: np.ndarray) -> float:
    """Return the peak signal-to-noise ratio of two uint8 arrays of the same shape, dB; infinite if they are equal.

    Raises
    ------
    ValueError
        If the shapes differ.
    """
    if a.shape != b.shape:
        raise ValueError(f"images of different shape: {a.shape} and {b.shape}")
    error = np.mean((a.astype(np.float32) - b.astype(np.float32)) ** 2, dtype=np.float64)
    return float(10 * np.log10(255**2 / error)) if error else float("inf")


def combined_psnr(ratios: Sequence[float]) -> float:
    """Return the PSNR of several pairs of images of similar size, dB: that of their mean squared error."""
    return float(-10 * np.log10(np.mean([10 ** (-ratio / 10) for ratio in ratios])))
