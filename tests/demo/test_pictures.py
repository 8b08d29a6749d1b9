"""The picture writers, held against Pillow and against our own carver."""

from __future__ import annotations

import io

import numpy as np
import pytest
from PIL import Image

from amparo.demo import jpeg, pictures
from amparo.evidence.carving import carve
from tests.demo.tools import Memory

NOISE = np.frombuffer(np.random.default_rng(3).bytes(3 * 150 * 203), dtype=np.uint8).reshape(150, 203, 3)
FORMS = ["triangulo-azul", "circulo-vermelho", "quadrado-verde", "anel-amarelo", "losango-roxo", "riscas-laranja"]


def _read(content: bytes) -> np.ndarray:
    return np.asarray(Image.open(io.BytesIO(content)).convert("RGB")).astype(int)


@pytest.mark.parametrize("name", FORMS)
def test_a_png_is_read_back_pixel_by_pixel(name: str) -> None:
    assert (_read(pictures.picture(name, "png", 1)) == pictures.draw(name, 1)).all()


@pytest.mark.parametrize("name", FORMS)
def test_a_jpeg_is_near_its_pixels(name: str) -> None:
    assert np.abs(_read(pictures.picture(name, "jpg", 1)) - pictures.draw(name, 1)).mean() < 7


@pytest.mark.parametrize("quality", [5, 30, 60, 90, 100])
def test_a_jpeg_of_noise_whose_sides_are_no_multiple_of_eight_is_as_pillow_would_write_it(quality: int) -> None:
    theirs = io.BytesIO()
    tables = [list(jpeg._LUMINANCE)] * 2  # Pillow scales them by the quality, as we do
    Image.fromarray(NOISE).save(theirs, "JPEG", quality=quality, subsampling=0, qtables=tables)
    ours = np.abs(_read(jpeg.encode(NOISE, quality)) - NOISE).mean()
    assert ours < np.abs(_read(theirs.getvalue()) - NOISE).mean() * 1.02 + 0.5


def test_a_gif_of_noise_outgrows_its_table_of_codes_and_is_read_back() -> None:
    read = _read(pictures.gif(NOISE))
    assert (read == (NOISE.astype(int) * 5 + 127) // 255 * 51).all()


@pytest.mark.parametrize("suffix", ["jpg", "png", "gif"])
@pytest.mark.parametrize("name", FORMS)
def test_our_carver_takes_each_for_whole(name: str, suffix: str) -> None:
    content = pictures.picture(name, suffix, 1)
    [found] = carve(Memory(bytes(1024) + content + bytes(4096)), [(0, 5120 + len(content))])
    assert (found.offset, found.length) == (1024, len(content))


def test_another_seed_gives_another_picture_and_the_same_seed_the_same() -> None:
    assert pictures.picture("cruz-azul", "jpg", 1) == pictures.picture("cruz-azul", "jpg", 1)
    assert pictures.picture("cruz-azul", "jpg", 1) != pictures.picture("cruz-azul", "jpg", 2)
