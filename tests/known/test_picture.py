"""Files to fingerprints: every format, every colour mode, frames, previews, and what is not whole."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageFile, ImageOps

from amparo.errors import ReadFailed
from amparo.known.pdq import distance, of_luma
from amparo.known.picture import Limits, Picture, fingerprints, kind_of
from tests.known.picture_specimens import HEIC, animation, camera_file, each, saved, scene

PLAIN = scene(3, 640, 480)
EXPECTED = of_luma(np.asarray(PLAIN.convert("L"))).bits


def only(data: bytes) -> Picture:
    (picture,) = fingerprints(data)
    return picture


def apart(data: bytes, expected: bytes = EXPECTED) -> int:
    return distance(only(data).fingerprint.bits, expected)


@pytest.mark.parametrize("name", each())
def test_every_format_is_known_by_its_first_bytes_and_gives_its_picture(name: str):
    data = each(320, 240)[name]()
    first = fingerprints(data)[0]
    assert (first.width, first.height) == ((160, 128) if name == "heic" else (320, 240))
    expected = scene(12, 160, 128) if name == "heic" else scene(3, 320, 240)
    far = 24 if "palette" in name or "gif" in name else 12
    assert distance(first.fingerprint.bits, of_luma(np.asarray(expected.convert("L"))).bits) <= far
    assert first.fingerprint.quality >= 50
    assert len(first.dihedral) == 8 and first.dihedral[0] == first.fingerprint.bits
    assert fingerprints(io.BytesIO(data)) == fingerprints(data)
    assert first.whole


@pytest.mark.parametrize(
    "head", [b"", b"%PDF-1.7", b"BM not a bitmap at all", b"\0\0\0\x18ftypisom\0\0\0\0isommp42", b"II", b"PK\3\4"]
)
def test_what_is_no_picture_is_told_so(head: bytes):
    assert kind_of(head) is None
    with pytest.raises(ReadFailed, match="no picture"):
        fingerprints(head)


@pytest.mark.parametrize("size", [(640, 480), (1024, 768), (1371, 1029), (2500, 1500)])
@pytest.mark.parametrize("options", [{}, {"progressive": True, "subsampling": 0}], ids=["baseline", "progressive"])
def test_a_jpeg_that_is_decoded_smaller_has_the_fingerprint_of_the_whole(
    size: tuple[int, int], options: dict[str, object]
):
    data = saved(scene(6, *size), "JPEG", quality=85, **options)
    whole = of_luma(np.asarray(Image.open(io.BytesIO(data)).convert("L")))
    assert apart(data, whole.bits) <= 6
    assert (only(data).width, only(data).height) == size


@pytest.mark.parametrize(
    ("mode", "kind"),
    [
        ("L", "PNG"), ("LA", "PNG"), ("RGBA", "PNG"), ("RGBA", "WEBP"), ("CMYK", "JPEG"), ("CMYK", "TIFF"), ("YCbCr", "TIFF"),
        ("LAB", "TIFF"), ("YCbCr", "JPEG"), ("F", "TIFF"), ("I", "TIFF"),
    ],
)  # fmt: skip
def test_a_picture_in_another_colour_mode_is_the_same_picture(mode: str, kind: str):
    if mode == "LAB":
        from PIL import ImageCms

        lab = ImageCms.createProfile("LAB")
        image = ImageCms.profileToProfile(PLAIN, ImageCms.createProfile("sRGB"), lab, outputMode="LAB")
    else:
        image = PLAIN.convert("L").convert(mode) if mode in ("F", "I") else PLAIN.convert(mode)
    assert image is not None
    picture = only(saved(image, kind))
    assert distance(picture.fingerprint.bits, EXPECTED) <= (40 if mode == "LAB" else 6)


def test_sixteen_bits_are_the_same_picture_as_eight():
    grey = np.asarray(PLAIN.convert("L")).astype(np.uint16)
    assert apart(saved(Image.fromarray(grey * 257), "PNG")) == 0
    assert apart(saved(Image.fromarray(grey * 257), "TIFF")) == 0
    assert apart(saved(Image.fromarray((grey.astype(np.float32)) / 255), "TIFF")) == 0
    assert apart(saved(Image.fromarray((grey.astype(np.float32)) * 1000 - 99), "TIFF")) <= 2


def test_a_palette_is_applied_and_not_taken_for_grey():
    palette = PLAIN.quantize(200)
    assert apart(saved(palette, "PNG")) <= 12
    assert apart(saved(palette, "PNG"), of_luma(np.asarray(palette)).bits) > 60


def test_one_bit_is_the_picture_dithered():
    assert apart(saved(PLAIN.convert("1"), "PNG")) <= 12
    assert only(saved(PLAIN.convert("1"), "PNG")).fingerprint.quality > 0


def test_transparency_does_not_change_the_fingerprint():
    seen_through = PLAIN.convert("RGBA")
    seen_through.putalpha(Image.linear_gradient("L").resize(PLAIN.size))
    assert apart(saved(seen_through, "PNG")) == 0
    palette = PLAIN.quantize(64)
    assert apart(saved(palette, "PNG", transparency=5)) == apart(saved(palette, "PNG"))


def test_the_orientation_that_a_camera_notes_is_not_applied_and_a_form_finds_the_turned_copy():
    exif = Image.Exif()
    exif[0x0112] = 6
    noted = only(saved(PLAIN, "JPEG", quality=90, exif=exif))
    assert distance(noted.fingerprint.bits, EXPECTED) <= 4
    turned = only(saved(ImageOps.exif_transpose(Image.open(io.BytesIO(saved(PLAIN, "JPEG", exif=exif)))), "PNG"))
    assert min(distance(form, turned.fingerprint.bits) for form in noted.dihedral) <= 16


@pytest.mark.parametrize("kind", ["GIF", "WEBP", "PNG", "TIFF", "AVIF"])
def test_each_frame_that_differs_counts_and_those_that_repeat_do_not(kind: str):
    one, other, third = (scene(seed, 160, 120).quantize(64).convert("RGB") for seed in (20, 21, 22))
    frames = [one, one, other, one, third, third]
    if kind == "WEBP":
        data = saved(one, kind, save_all=True, append_images=frames[1:], lossless=True, minimize_size=False)
    elif kind == "AVIF":
        data = saved(one, kind, save_all=True, append_images=[other, third], quality=100)
    else:
        data = animation(frames, kind)
    found = fingerprints(data)
    assert len(found) == 3
    for picture, frame in zip(found, (one, other, third), strict=True):
        assert distance(picture.fingerprint.bits, of_luma(np.asarray(frame.convert("L"))).bits) <= 20
    assert [picture.frame for picture in found] == sorted(picture.frame for picture in found)


def test_of_many_frames_as_many_as_asked_for_are_kept_evenly_spread():
    frames = [scene(seed, 64, 48) for seed in range(50)]
    data = animation(frames, "TIFF")
    assert [picture.frame for picture in fingerprints(data, most_frames=50)] == list(range(50))
    assert [picture.frame for picture in fingerprints(data, most_frames=16)] == list(range(0, 50, 4))
    assert [picture.frame for picture in fingerprints(data, most_frames=1)] == [0]


def test_frames_count_as_far_as_the_limit_of_pixels_goes():
    data = animation([scene(seed, 100, 100) for seed in range(9)], "GIF")
    assert [picture.frame for picture in fingerprints(data, limits=Limits(pixels=45_000))] == [0, 1, 2, 3]


@pytest.mark.parametrize("order", ["<", ">"])
def test_a_camera_file_counts_by_the_preview_inside(order: str):
    preview = saved(PLAIN, "JPEG", quality=90)
    small = saved(PLAIN.resize((160, 120)), "JPEG")
    picture = only(camera_file(small + preview, order=order))
    assert (picture.format, picture.width, picture.height) == ("RAW", 640, 480)
    assert distance(picture.fingerprint.bits, EXPECTED) <= 4


@pytest.mark.parametrize(
    "beginning", [b"FUJIFILMCCD-RAW ", b"IIRO\x08\0\0\0", b"IIU\0\x08\0\0\0", b"\0\0\0\x18ftypcrx \0\0\0\1crx isom"]
)
def test_cameras_that_build_their_files_otherwise_are_read_too(beginning: bytes):
    data = beginning.ljust(64, b"\0") + bytes(500) + saved(PLAIN, "JPEG", quality=90) + bytes(500)
    assert only(data).format == "RAW"
    assert apart(data) <= 4
    with pytest.raises(ReadFailed, match="no preview"):
        fingerprints(beginning.ljust(2000, b"\0"))


def test_a_page_of_an_ordinary_tiff_is_not_taken_for_a_preview():
    for compression in ("jpeg", "tiff_lzw", "raw"):
        data = saved(PLAIN, "TIFF", compression=compression)
        assert only(data).format == "TIFF" and apart(data) <= 4


@pytest.mark.parametrize("progressive", [False, True])
def test_a_jpeg_whose_end_is_missing_counts_while_three_quarters_of_it_are_there(progressive: bool):
    data = saved(PLAIN, "JPEG", quality=90, progressive=progressive)
    picture = only(data[: len(data) * 97 // 100])
    assert not picture.whole
    assert distance(picture.fingerprint.bits, EXPECTED) <= 31
    with pytest.raises(ReadFailed, match=r"Only \d+ % of the picture"):
        fingerprints(data[: len(data) // (12 if progressive else 3)])


def test_the_last_bytes_of_a_jpeg_may_be_missing_without_any_harm():
    data = saved(PLAIN, "JPEG", quality=90)
    assert apart(data[:-2]) <= 4


@pytest.mark.parametrize("name", ["png", "gif", "webp", "bmp", "jpeg2000", "tiff lzw", "avif", "heic"])
def test_other_files_that_were_cut_are_told_so(name: str):
    data = each()[name]()
    with pytest.raises(ReadFailed, match=r"damaged or cut off"):
        fingerprints(data[: len(data) // 3])


@pytest.mark.parametrize("name", ["png", "gif", "bmp", "jpeg2000"])
def test_what_other_libraries_ask_of_pillow_changes_no_fingerprint(name: str, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(ImageFile, "LOAD_TRUNCATED_IMAGES", True)  # as WeasyPrint does when it is loaded
    data = each()[name]()
    with pytest.raises(ReadFailed, match=r"damaged or cut off"):
        fingerprints(data[: len(data) // 3])
    assert fingerprints(data)
    assert ImageFile.LOAD_TRUNCATED_IMAGES, "it is left as it was"


FIXTURES = Path(__file__).parents[2] / "../shared/fixtures/pdq"


@pytest.mark.conformance
@pytest.mark.skipif(not FIXTURES.is_dir(), reason="the pictures of ThreatExchange are not here")
class TestConformance:
    """Against what python-threatexchange 1.2 and pdqhash 0.2.8 gave."""

    def expected(self) -> dict[str, bytes]:
        import json

        table = json.loads((FIXTURES / "expected.json").read_text("utf-8"))
        return {name: bytes.fromhex(row["pdq"]) for name, row in table.items()}

    def test_every_picture_is_within_ten_bits(self):
        apart = {
            name: distance(only((FIXTURES / name).read_bytes()).fingerprint.bits, bits)
            for name, bits in self.expected().items()
            if name not in ("modes/CMYK.jpg", "modes/P.png")
        }
        assert len(apart) == 32
        assert {name: bits for name, bits in apart.items() if bits > 10} == {}

    def test_the_modes_that_the_reference_misreads_hash_like_their_twin_in_rgb(self):
        expected = self.expected()
        for name in ("modes/CMYK.jpg", "modes/P.png", "modes/1.png"):
            assert apart((FIXTURES / name).read_bytes(), expected["modes/original.jpg"]) <= 10

    def test_the_eight_forms_of_the_original_find_the_eight_files(self):
        original = only((FIXTURES / "dih/bridge-1-original.jpg").read_bytes())
        files = sorted((FIXTURES / "dih").iterdir())
        assert len(files) == 8
        for form, file in zip(original.dihedral, files, strict=True):
            assert distance(form, self.expected()[f"dih/{file.name}"]) <= 10
            assert distance(form, only(file.read_bytes()).fingerprint.bits) <= 10


def test_the_heic_picture_is_decoded_as_it_was_made():
    assert apart(HEIC, of_luma(np.asarray(scene(12, 160, 128).convert("L"))).bits) <= 12
