"""The similarity of images, against values computed by hand."""

import math

import numpy as np
import pytest

from benchmarks.likeness import combined_psnr, psnr


def test_one_step_everywhere_is_48_decibels() -> None:
    gray = np.full((20, 30, 3), 100, np.uint8)
    assert psnr(gray, gray + np.uint8(1)) == pytest.approx(20 * math.log10(255))
    assert psnr(gray, gray) == math.inf


def test_images_of_different_shapes_are_not_compared() -> None:
    with pytest.raises(ValueError, match="images of different shape"):
        psnr(np.zeros((2, 2), np.uint8), np.zeros((2, 3), np.uint8))


def test_the_combined_psnr_of_pairs_is_that_of_the_images_side_by_side() -> None:
    gray = np.full((20, 30), 100, np.uint8)
    others = [gray + np.uint8(1), gray + np.uint8(4)]
    side_by_side = psnr(np.hstack([gray, gray]), np.hstack(others))
    assert combined_psnr([psnr(gray, other) for other in others]) == pytest.approx(side_by_side, abs=1e-4)
