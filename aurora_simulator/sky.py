"""Renders a sky over hills as a fisheye image or a panorama: fast, and identical for the same seed and time.

Light, clouds, haze and aurora are computed on a coarse grid and enlarged; stars and sensor grain are added at full
size, so that the images compress like photographs and not like drawings. It is not a radiative model, and the sun
rises and sets at the same time all year.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from datetime import datetime
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from aurora_simulator.spec import View

COARSE_SIDE = 800  # px; the longest side of the coarse grid
TEXTURE_SIDE = 1024  # texels, a power of two: cloud textures wrap by masking
TEXELS_PER_HEIGHT = 245.0  # texels of a cloud layer per height of that layer
DRIFT = ((0.11, 0.04), (0.17, -0.03))  # texels per second, east and north, of the two cloud layers
GRAIN_SIGMA = 4.0  # grey levels
GRAIN_LIMIT = 12  # grey levels; luma stays this far from 0 and 255, so adding grain cannot wrap
GRAIN_MARGIN = 64  # px; the grain moves by up to this much from frame to frame
STARS = 700
FISHEYE_EDGE = 93.0  # degrees from the zenith at the rim of the circle
PANORAMA_TOP = 20.0  # degrees from the zenith at the upper edge
PANORAMA_BOTTOM = 98.0

type Plane = NDArray[np.uint8]
type Field = NDArray[np.floating]  # always float32; only NumPy's type hints widen it
type Colour = tuple[float, float, float]

# (zenith, horizon, cloud, ground) as RGB 0..255; night is bright, as in the images of HDR cameras.
DAY: tuple[Colour, ...] = ((52, 104, 186), (168, 198, 226), (236, 238, 240), (74, 80, 62))
NIGHT: tuple[Colour, ...] = ((16, 20, 40), (36, 42, 58), (58, 58, 64), (15, 16, 17))
DUSK: Colour = (244, 146, 84)
AURORA: Colour = (56, 190, 112)


@dataclass(frozen=True)
class Frame:
    """One rendered image, in the full range of JPEG (BT.601).

    `luma` is (height, width); `cb` and `cr` are (height / 2, width / 2); `overview` is the coarse image. The arrays
    belong to the renderer and are valid until its next frame.
    """

    luma: Plane
    cb: Plane
    cr: Plane
    overview: Image.Image
    canvas: Plane

    @property
    def size(self) -> tuple[int, int]:
        """Width and height, px."""
        return self.luma.shape[1], self.luma.shape[0]

    def interleaved(self) -> Plane:
        """Return the planes as (height, width, 3); chroma samples are repeated, so 4:2:0 restores them unchanged."""
        self.canvas[..., 0] = self.luma
        for row in (0, 1):
            for column in (0, 1):
                self.canvas[row::2, column::2, 1] = self.cb
                self.canvas[row::2, column::2, 2] = self.cr
        return self.canvas


class Sky:
    """Renders one view at one size. Its constructor costs as much as a few frames, so keep it.

    Parameters
    ----------
    view : View
        Fisheye or panorama.
    width, height : int
        Size of the frames, px; even.
    seed : int
        Chooses clouds, stars, hills and grain.
    """

    def __init__(self, view: View, width: int, height: int, seed: int) -> None:
        self._seed = seed
        self._size = (width, height)
        self._key = sum(view.name.encode())
        shrink = max(1, round(max(width, height) / COARSE_SIDE))
        coarse = (-(-width // shrink), -(-height // shrink))
        theta, phi, self._inside = _angles(view, *coarse)
        self._x, self._y, self._z = _directions(theta, phi)
        self._low = theta.clip(0, 90) / 90
        self._haze = _smooth(self._low, 0.72, 0.98)
        self._ground = _smooth(90 - theta - _ridge(phi, seed), 0.4, -0.4)
        height_map = TEXELS_PER_HEIGHT * np.tan(np.radians(theta.clip(0, 86)))
        self._east = np.rint(height_map * np.sin(phi)).astype(np.intp)
        self._north = np.rint(height_map * np.cos(phi)).astype(np.intp)
        self._textures = _textures(seed)

        rng = np.random.default_rng([seed, self._key])
        grain = rng.standard_normal((height + GRAIN_MARGIN, width + GRAIN_MARGIN), dtype=np.float32) * GRAIN_SIGMA
        np.clip(np.rint(grain, out=grain), -GRAIN_LIMIT, GRAIN_LIMIT, out=grain)
        self._grain = grain.astype(np.int8).view(np.uint8)  # two's complement: uint8 addition subtracts, too
        self._mask = _enlarge((self._inside * 255).astype(np.uint8), self._size)
        self._stars = rng.integers(0, height, STARS), rng.integers(0, width, STARS)
        self._star_light = (rng.random(STARS) ** 3 * 150 + 15).astype(np.float32)
        self._star_cell = self._stars[0] // shrink, self._stars[1] // shrink
        self._luma: Plane = np.empty((height, width), np.uint8)
        self._canvas: Plane = np.empty((height, width, 3), np.uint8)

    def render(self, time: datetime) -> Frame:
        """Render the sky at `time` (UTC)."""
        seconds = int(time.timestamp())
        rng = np.random.default_rng([self._seed, self._key, seconds])
        colours, darkness, cloud = self._colours(time, seconds)
        luma, cb, cr = self._planes(colours)

        row, column = rng.integers(0, GRAIN_MARGIN, 2)
        width, height = self._size
        np.add(_enlarge(luma, self._size), self._grain[row : row + height, column : column + width], out=self._luma)
        if darkness > 0:
            light = self._star_light * (1 - cloud) * darkness * rng.uniform(0.7, 1.0, STARS)
            self._luma[self._stars] = np.minimum(self._luma[self._stars] + light, 250).astype(np.uint8)
        np.minimum(self._luma, self._mask, out=self._luma)
        half = (width // 2, height // 2)
        overview = Image.merge("YCbCr", [Image.fromarray(plane) for plane in (luma, cb, cr)])
        return Frame(self._luma, _enlarge(cb, half), _enlarge(cr, half), overview, self._canvas)

    def _colours(self, time: datetime, seconds: int) -> tuple[list[Field], float, Field]:
        """Return RGB fields 0..255, darkness 0..1, and how much each star is hidden, 0..1."""
        hour = time.hour + time.minute / 60 + time.second / 3600
        elevation = 34 * math.cos(2 * math.pi * (hour - 13) / 24) - 4  # degrees
        day = float(_smooth(np.float32(elevation), -9, 8))
        dusk = math.exp(-(((elevation + 1) / 6) ** 2))
        wide, fine = self._layer(0, seconds), self._layer(1, seconds)
        weather = 0.35 * math.sin(seconds / 9000 + self._seed) + 0.2 * math.sin(seconds / 2300)
        cover = 0.75 * wide + 0.45 * fine + weather
        cloud = _smooth(cover, -0.35, 1.6)
        thick = _smooth(cover, 0.7, 2.6)

        azimuth, tilt = 2 * math.pi * hour / 24, math.radians(elevation)
        towards = (
            math.cos(tilt) * (math.sin(azimuth) * self._x + math.cos(azimuth) * self._y) + math.sin(tilt) * self._z
        )
        near = towards.clip(0, 1)
        glow = near**24 * (0.35 + 0.4 * dusk) * max(day, dusk)
        disc = _smooth(towards, 0.9985, 0.9995) * (1 - 0.9 * cloud) * day
        warm = dusk * near**3 * self._low**2
        band = np.exp(-(((self._y - 0.3 - 0.12 * wide * self._z) / 0.16) ** 2)) * (0.6 + 0.16 * fine).clip(0, 1)
        aurora = band * (1 - day) * (0.6 + 0.4 * math.sin(seconds / 1700)) * (1 - self._haze)

        fields: list[Field] = []
        for channel in range(3):
            zenith, horizon, white, earth = (
                n[channel] + (d[channel] - n[channel]) * day for d, n in zip(DAY, NIGHT, strict=True)
            )
            sky = zenith + (horizon - zenith) * self._low**2
            sky += warm * (DUSK[channel] - sky) + glow * (255 - sky) + aurora * AURORA[channel]
            lit = white * (1 - 0.42 * thick) + 0.45 * warm * (DUSK[channel] - white)
            sky += cloud * (1 - 0.85 * self._haze) * 0.93 * (lit - sky)
            sky += disc * (255 - sky)
            fields.append(sky + self._ground * (earth - sky))
        hidden = np.maximum(cloud, self._ground)[self._star_cell]
        return fields, (1 - day) ** 2, hidden

    def _layer(self, index: int, seconds: int) -> Field:
        """Return one cloud layer from below, mean 0, deviation 1."""
        east, north = DRIFT[index]
        column = (self._east - int(seconds * east)) & (TEXTURE_SIDE - 1)
        row = (self._north - int(seconds * north)) & (TEXTURE_SIDE - 1)
        return self._textures[index].take(row * TEXTURE_SIDE + column)

    def _planes(self, colours: list[Field]) -> tuple[Plane, Plane, Plane]:
        """Return coarse Y, Cb and Cr; black outside the image."""
        red, green, blue = colours
        luma = 0.299 * red + 0.587 * green + 0.114 * blue
        cb = 128 + (blue - luma) * 0.564 * self._inside
        cr = 128 + (red - luma) * 0.713 * self._inside
        luma.clip(GRAIN_LIMIT, 255 - GRAIN_LIMIT, out=luma)
        return luma.astype(np.uint8), cb.clip(0, 255).astype(np.uint8), cr.clip(0, 255).astype(np.uint8)


def _angles(view: View, width: int, height: int) -> tuple[Field, Field, Field]:
    """Return angle from the zenith (degrees), azimuth (radians, north 0) and 1 inside the image; (height, width)."""
    rows, columns = np.mgrid[0:height, 0:width].astype(np.float32) + np.float32(0.5)
    if view.projection == "panorama":
        theta = PANORAMA_TOP + (PANORAMA_BOTTOM - PANORAMA_TOP) * rows / height
        return theta, 2 * np.pi * columns / width, np.ones_like(theta)
    x, y = columns - width / 2, height / 2 - rows
    radius = np.hypot(x, y) / (min(width, height) * 0.49)
    inside = _smooth(radius, 1.0, 0.985)
    return radius * FISHEYE_EDGE, np.arctan2(-x, y), inside  # east is on the left in a view upwards


def _directions(theta: Field, phi: Field) -> tuple[Field, Field, Field]:
    """Return the components east, north, up of unit vectors."""
    flat = np.sin(np.radians(theta))
    return flat * np.sin(phi), flat * np.cos(phi), np.cos(np.radians(theta))


def _ridge(phi: Field, seed: int) -> Field:
    """Return the height of the hills above the horizon, degrees."""
    rng = np.random.default_rng([seed, 1])
    waves = [
        rng.uniform(0.4, 1.0) / n**0.8 * np.sin(n * phi + rng.uniform(0, 2 * np.pi))
        for n in (1, 2, 3, 5, 8, 13, 31, 67)
    ]
    return np.asarray(2.2 + 1.1 * sum(waves), np.float32)


def _smooth(value: Field | np.float32, low: float, high: float) -> Field:
    """Return 0 at `low`, 1 at `high` (which may be below `low`), smooth in between."""
    t = ((value - low) / (high - low)).clip(0, 1)
    return np.asarray(t * t * (3 - 2 * t), np.float32)


def _enlarge(plane: Plane, size: tuple[int, int]) -> Plane:
    return np.asarray(Image.fromarray(plane).resize(size, Image.Resampling.BILINEAR))


@lru_cache(maxsize=4)
def sky_renderer(view: View, width: int, height: int, seed: int) -> Sky:
    """Return the renderer of this view and size; each process makes it once."""
    return Sky(view, width, height, seed)


@lru_cache(maxsize=2)
def _textures(seed: int) -> tuple[Field, Field]:
    """Return two wrapping cloud textures, mean 0, deviation 1: noise with the falling spectrum of clouds."""
    rng = np.random.default_rng([seed, 0])
    frequency = np.hypot(np.fft.fftfreq(TEXTURE_SIDE)[:, None], np.fft.rfftfreq(TEXTURE_SIDE)[None, :])
    frequency[0, 0] = np.inf
    textures = []
    for slope in (1.9, 1.6):
        noise = rng.standard_normal((TEXTURE_SIDE, TEXTURE_SIDE), dtype=np.float32)
        # Structures larger than an eighth of the texture would make its repetition visible.
        falling = (frequency**2 + (8 / TEXTURE_SIDE) ** 2) ** (-slope / 2)
        falling[0, 0] = 0
        texture = np.fft.irfft2(np.fft.rfft2(noise) * falling)
        textures.append(np.asarray(texture / texture.std(), np.float32))
    return textures[0], textures[1]
