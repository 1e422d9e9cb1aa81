"""How alike two pictures are, against figures that can be computed by hand."""

import math

import numpy as np
import pytest

from benchmarks.likeness import joined, psnr


def test_one_step_everywhere_is_48_decibels() -> None:
    gray = np.full((20, 30, 3), 100, np.uint8)
    assert psnr(gray, gray + np.uint8(1)) == pytest.approx(20 * math.log10(255))
    assert psnr(gray, gray) == math.inf


def test_pictures_of_different_sizes_are_not_compared() -> None:
    with pytest.raises(ValueError, match="pictures of"):
        psnr(np.zeros((2, 2), np.uint8), np.zeros((2, 3), np.uint8))


def test_several_pairs_together_are_those_pictures_side_by_side() -> None:
    gray = np.full((20, 30), 100, np.uint8)
    others = [gray + np.uint8(1), gray + np.uint8(4)]
    side_by_side = psnr(np.hstack([gray, gray]), np.hstack(others))
    assert joined([psnr(gray, other) for other in others]) == pytest.approx(side_by_side, abs=1e-4)
