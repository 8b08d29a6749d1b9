"""Pictures made up for the benchmarks: landscapes, things on a table, clouds and patterns. Nobody is in them.

They have what a photograph has for a fingerprint: large areas with soft borders, texture at every scale, light that falls
from one side, and a camera's noise. The same seed gives the same picture at the same size.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageDraw, ImageFilter

Plane = npt.NDArray[np.float32]
Colour = npt.NDArray[np.float32]


def photo(seed: int, width: int, height: int) -> Image.Image:
    """A picture in RGB."""
    chance = np.random.default_rng(seed)
    kind = _KINDS[int(chance.choice(len(_KINDS), p=(0.45, 0.25, 0.1, 0.2)))]
    pixels = kind(chance, width, height)
    light = _octaves(chance, width, height, 1, 0.5, start=2)
    pixels *= (1 + 0.25 * light)[..., None]
    pixels += (chance.standard_normal((height, width), np.float32) * np.float32(chance.uniform(0.002, 0.015)))[
        ..., None
    ]
    return Image.fromarray((np.clip(pixels, 0, 1) * 255).astype(np.uint8))


def _octaves(
    chance: np.random.Generator, width: int, height: int, count: int, persistence: float, start: int = 3
) -> Plane:
    """Noise of ``count`` scales, each of half the size and ``persistence`` of the strength of the one before; about -1 to 1."""
    total = np.zeros((height, width), np.float32)
    strength = 1.0
    for octave in range(count):
        cells = min(start << octave, max(width, height))
        grid = chance.uniform(-1, 1, (max(2, cells * height // max(width, height)), cells + 1)).astype(np.float32)
        total += strength * np.asarray(Image.fromarray(grid).resize((width, height), Image.Resampling.BICUBIC))
        strength *= persistence
    return total


def _grid(width: int, height: int) -> tuple[Plane, Plane]:
    """Across and down, 0 to 1."""
    across = np.linspace(0, 1, width, dtype=np.float32)[None, :]
    return across, np.linspace(0, 1, height, dtype=np.float32)[:, None]


def _shade(chance: np.random.Generator, dark: float = 0.05, light: float = 0.95) -> Colour:
    base = chance.uniform(dark, light)
    return np.clip(base + chance.normal(0, 0.15, 3), 0, 1).astype(np.float32)


def _landscape(chance: np.random.Generator, width: int, height: int) -> Colour:
    """Sky, ridges that fade with distance, ground with its texture, and perhaps a sun, trees, houses or water."""
    across, down = _grid(width, height)
    top, low = _shade(chance, 0.3), _shade(chance, 0.5)
    pixels = (top + (low - top) * down[..., None]) * np.ones((height, width, 1), np.float32)
    pixels += chance.uniform(0, 0.3) * np.maximum(0, _octaves(chance, width, height, 6, 0.6))[..., None]
    if chance.random() < 0.4:
        x, y, size = chance.uniform(0.1, 0.9), chance.uniform(0.05, 0.4), chance.uniform(0.02, 0.08)
        disc = (across - x) ** 2 * (width / height) ** 2 + (down - y) ** 2
        pixels += np.exp(-disc / size**2 / 2)[..., None] * chance.uniform(0.3, 0.8)
    line = chance.uniform(0.25, 0.7)
    far = _shade(chance, 0.3, 0.8)
    near = _shade(chance, 0.02, 0.4)
    ridges = int(chance.integers(1, 6))
    texture = _octaves(chance, width, height, 7, 0.7, start=6)
    for ridge in range(ridges):
        depth = (ridge + 1) / ridges
        outline = line + 0.25 * depth + chance.uniform(0.05, 0.25) * _octaves(chance, width, 2, 7, 0.5)[:1]
        rough = 1 + np.float32(0.5 * depth) * np.roll(texture, int(chance.integers(width)), axis=1)
        shade = far + (near - far) * np.float32(depth)
        np.copyto(pixels, shade * rough[..., None], where=(down > outline)[..., None])
    if chance.random() < 0.4:
        _houses(chance, pixels)
    if chance.random() < 0.3:  # water: what stands above it, upside down, darker and rippled
        shore = int(height * chance.uniform(0.6, 0.85))
        rows = np.clip(2 * shore - np.arange(shore, height), 0, height - 1)
        ripple = (4 * _octaves(chance, width, 2, 6, 0.7)[0]).astype(int)
        columns = np.clip(np.arange(width) + ripple, 0, width - 1)
        pixels[shore:] = pixels[rows][:, columns] * 0.7
    return pixels


def _houses(chance: np.random.Generator, pixels: Colour) -> None:
    height, width = pixels.shape[:2]
    for _ in range(int(chance.integers(1, 9))):
        wide, tall = int(width * chance.uniform(0.04, 0.25)), int(height * chance.uniform(0.1, 0.6))
        left, top = int(chance.uniform(-0.1, 0.95) * width), height - tall - int(chance.uniform(0, 0.3) * height)
        wall = pixels[max(0, top) : top + tall, max(0, left) : left + wide]
        wall[:] = _shade(chance) + 0.03 * chance.normal(size=wall.shape[:2])[..., None]
        step = max(4, wide // int(chance.integers(3, 9)))
        glass = _shade(chance)
        for y in range(step // 2, wall.shape[0] - step, step):
            for x in range(step // 2, wall.shape[1] - step, step):
                wall[y : y + step * 2 // 3, x : x + step // 2] = glass * chance.uniform(0.6, 1.3)


def _table(chance: np.random.Generator, width: int, height: int) -> Colour:
    """Round and square things with light on one side, on a surface, before a wall."""
    across, down = _grid(width, height)
    edge = chance.uniform(0.3, 0.7)
    grain = _octaves(chance, width, height, 7, 0.7, start=4)
    pixels = np.where((down > edge)[..., None], _shade(chance), _shade(chance)) * (1 + 0.2 * grain)[..., None]
    angle = chance.uniform(0, 2 * np.pi)
    for _ in range(int(chance.integers(2, 12))):
        x, y, size = chance.uniform(0, 1), chance.uniform(edge - 0.2, 1), chance.uniform(0.04, 0.25)
        u = (across - x) * (width / height) / chance.uniform(0.5, 1.6)
        v = down - y
        inside = (u**2 + v**2 < size**2) if chance.random() < 0.6 else np.maximum(abs(u), abs(v)) < size * 0.8
        lit = (0.7 + 0.5 * (u * np.cos(angle) + v * np.sin(angle)) / size).astype(np.float32) * (1 + 0.15 * grain)
        shadow = (u - 0.3 * size) ** 2 + 4 * (v - 0.8 * size) ** 2 < size**2
        np.multiply(pixels, np.float32(0.6), out=pixels, where=(shadow & ~inside)[..., None])
        np.copyto(pixels, _shade(chance) * lit[..., None], where=inside[..., None])
    return pixels


def _clouds(chance: np.random.Generator, width: int, height: int) -> Colour:
    """Noise of all scales in two colours."""
    mix = 0.5 + 0.6 * _octaves(chance, width, height, 8, chance.uniform(0.45, 0.75), start=int(chance.integers(2, 6)))
    one, other = _shade(chance), _shade(chance)
    return one + (other - one) * np.clip(mix, 0, 1)[..., None]


def _shapes(chance: np.random.Generator, width: int, height: int) -> Colour:
    """Polygons and lines over a gradient, as a poster or a drawing has them."""
    across, down = _grid(width, height)
    one, other = _shade(chance), _shade(chance)
    slope = np.clip(chance.uniform(-1, 1) * across + chance.uniform(-1, 1) * down + 0.3, 0, 1)[..., None]
    image = Image.fromarray((np.clip(one + (other - one) * slope, 0, 1) * 255).astype(np.uint8))
    draw = ImageDraw.Draw(image)
    for _ in range(int(chance.integers(4, 40))):
        colour = tuple(int(255 * c) for c in _shade(chance))
        middle, spread = chance.uniform(0, 1, 2), chance.uniform(0.02, 0.3)
        points = (middle + chance.normal(0, spread, (int(chance.integers(2, 7)), 2))) * (width, height)
        corners = [(float(x), float(y)) for x, y in points]
        if len(corners) == 2:
            draw.line(corners, colour, max(1, int(chance.uniform(0, 0.03) * width)))
        else:
            draw.polygon(corners, colour)
    if chance.random() < 0.5:
        image = image.filter(ImageFilter.GaussianBlur(width * chance.uniform(0, 0.01)))
    grain = 1 + 0.1 * _octaves(chance, width, height, 7, 0.8)
    return np.asarray(image).astype(np.float32) / 255 * grain[..., None]


_KINDS: Final[tuple[Callable[[np.random.Generator, int, int], Colour], ...]] = (_landscape, _table, _clouds, _shapes)
