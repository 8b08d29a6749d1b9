"""Pictures and films that only look alike are found wherever they lie, and what no decoder can bear is still evidence."""

from __future__ import annotations

import hashlib
import io
import json
import os
import signal
import sqlite3
import time
import zipfile
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
from PIL import Image

from amparo.demo import ntfs
from amparo.demo.content import Placed
from amparo.evidence import exports, fingerprints
from amparo.known import film, picture
from amparo.known.film_features import to_json
from tests.evidence.examining import Listener, examine
from tests.evidence.search.specimens import DAY


def landscape(seed: int, width: int = 480, height: int = 360) -> Image.Image:
    """Hills of noise, coarse and fine: nothing that anybody took."""
    chance = np.random.default_rng(seed)
    whole = np.zeros((height, width))
    for octave in range(1, 7):
        coarse = Image.fromarray((chance.random((2**octave + 1, 2**octave + 1)) * 255).astype(np.uint8))
        whole += np.asarray(coarse.resize((width, height), Image.Resampling.BICUBIC), float) / 2**octave
    whole = (whole - whole.min()) / (whole.max() - whole.min()) * 255
    return Image.fromarray(whole.astype(np.uint8)).convert("RGB")


def saved(image: Image.Image, form: str = "JPEG", **options: Any) -> bytes:
    stream = io.BytesIO()
    image.save(stream, form, **options)
    return stream.getvalue()


def moving(seed: int, seconds: int = 8, width: int = 320, height: int = 240, rate: int = 6_000_000) -> bytes:
    """A film that moves over a landscape, by PyAV's own encoder."""
    stream = io.BytesIO()
    whole = landscape(seed, 1280, 960)
    with av.open(stream, "w", format="mp4") as container:
        track = container.add_stream("mpeg4", rate=5)
        track.width, track.height, track.pix_fmt = width, height, "yuv420p"
        track.bit_rate, track.gop_size = rate, 5
        for number in range(seconds * 5):
            part = whole.crop((number * 6, number * 4, number * 6 + 960, number * 4 + 720)).resize((width, height))
            for packet in track.encode(av.VideoFrame.from_image(part)):
                container.mux(packet)
        for packet in track.encode():
            container.mux(packet)
    return stream.getvalue()


KNOWN = [landscape(seed) for seed in range(4)]


@pytest.fixture
def listed(tmp_path: Path) -> Path:
    """A list with the fingerprints of the known pictures, as they were before anybody changed them."""
    path = tmp_path / "prints.csv"
    prints = [picture.fingerprints(saved(image, "PNG"))[0].fingerprint for image in KNOWN]
    rows = [f"{p.bits.hex()},1,picture {number}" for number, p in enumerate(prints)]
    path.write_text("\n".join(["pdq,category,entry", *rows]) + "\n", "utf-8")
    return path


def searched(source: Path, place: Path, *lists: Path, **options: Any) -> tuple[Path, Listener, int]:
    listener = Listener()
    options = {"fingerprints": True, **options}
    outcome = examine(source, place / "package", options=options, listener=listener, known=lists)
    return place / "package", listener, outcome.exit_code


def rows(package: Path, query: str) -> list[Any]:
    with closing(sqlite3.connect(package / "data" / "evidence.sqlite")) as database:
        return database.execute(query).fetchall()


ALIKE = "select path, entry, method, distance, m.quality from matches m join files f on f.id = m.file_id order by path"


def test_copies_that_were_changed_are_found_and_others_are_not(tmp_path: Path, listed: Path) -> None:
    source = tmp_path / "source"
    source.mkdir()
    (source / "recompressed.jpg").write_bytes(saved(KNOWN[0], quality=35))
    (source / "smaller.png").write_bytes(saved(KNOWN[1].resize((320, 240)), "PNG"))
    (source / "mirrored.webp").write_bytes(saved(KNOWN[2].transpose(Image.Transpose.FLIP_LEFT_RIGHT), "WEBP"))
    (source / "turned without a suffix").write_bytes(saved(KNOWN[3].transpose(Image.Transpose.ROTATE_90), "JPEG"))
    for seed in range(50, 60):
        (source / f"other {seed}.jpg").write_bytes(saved(landscape(seed)))
    with zipfile.ZipFile(source / "packed.zip", "w") as file:
        file.writestr("within/a.bmp", saved(KNOWN[0].resize((400, 300)), "BMP"))
    package, listener, code = searched(source, tmp_path, listed)
    found = {path: (entry, method) for path, entry, method, *_ in rows(package, ALIKE)}
    assert found == {
        "mirrored.webp": ("picture 2", "pdq"), "packed.zip/within/a.bmp": ("picture 0", "pdq"),
        "recompressed.jpg": ("picture 0", "pdq"), "smaller.png": ("picture 1", "pdq"),
        "turned without a suffix": ("picture 3", "pdq"),
    }  # fmt: skip
    assert all(distance <= 31 and quality >= 50 for *_, distance, quality in rows(package, ALIKE))
    assert {path for path, _ in listener.matches} == set(found) and code == 0
    assert len(rows(package, "select * from fingerprints")) == 15


def test_deleted_and_carved_pictures_are_found_too(tmp_path: Path, listed: Path) -> None:
    volume = ntfs.NtfsVolume(4 << 20, "TINY", DAY, 0, 7)
    gone = Placed("Users/gone.jpg", saved(KNOWN[0], quality=60), DAY, DAY, deleted=True)
    volume.lay([Placed("readme.txt", b"words " * 99, DAY, DAY), gone], [saved(KNOWN[1], quality=60)])
    (tmp_path / "disk.img").write_bytes(volume.image)
    package, _, _ = searched(tmp_path / "disk.img", tmp_path, listed)
    query = "select state, entry from matches m join files f on f.id = m.file_id order by 1"
    assert rows(package, query) == [("carved", "picture 1"), ("deleted", "picture 0")]


def test_an_entry_found_by_its_digest_is_not_told_again_for_its_looks(tmp_path: Path) -> None:
    source = tmp_path / "source"
    source.mkdir()
    content = saved(KNOWN[0])
    (source / "same.jpg").write_bytes(content)
    (source / "alike.jpg").write_bytes(saved(KNOWN[0], quality=40))
    print_ = picture.fingerprints(content)[0].fingerprint.bits.hex()
    (tmp_path / "both.csv").write_text(f"md5,pdq,entry\n{hashlib.md5(content).hexdigest()},{print_},one\n", "utf-8")
    package, listener, _ = searched(source, tmp_path, tmp_path / "both.csv")
    assert [row[:3] for row in rows(package, ALIKE)] == [("alike.jpg", "one", "pdq"), ("same.jpg", "one", "md5")]
    assert len(listener.matches) == 2


def test_what_a_list_knows_by_its_digest_is_not_left_to_be_looked_at(tmp_path: Path, listed: Path) -> None:
    source = tmp_path / "source"
    source.mkdir()
    contents = {
        "known.jpg": saved(KNOWN[0]), "alike.jpg": saved(KNOWN[1], quality=40), "new.jpg": saved(landscape(50)),
        "new again.jpg": saved(landscape(50)), "ordinary.png": saved(landscape(51), "PNG"), "letter.txt": b"words " * 40,
    }  # fmt: skip
    for name, content in contents.items():
        (source / name).write_bytes(content)
    (tmp_path / "digests.csv").write_text(f"md5,entry\n{hashlib.md5(contents['known.jpg']).hexdigest()},one\n", "utf-8")
    ordinary = hashlib.sha1(contents["ordinary.png"]).hexdigest().upper()
    (tmp_path / "nsrl.csv").write_text(
        '"SHA-1","MD5","CRC32","FileName","FileSize","ProductCode","OpSystemCode","SpecialCode"\n'
        f'"{ordinary}","{hashlib.md5(contents["ordinary.png"]).hexdigest().upper()}","0","o.png","1","1","1",""\n', "utf-8",
    )  # fmt: skip
    package, _, _ = searched(source, tmp_path, listed, tmp_path / "digests.csv", tmp_path / "nsrl.csv")
    left = [path for (path,) in rows(package, "select path from files where review order by path")]
    assert left == ["alike.jpg", "new again.jpg", "new.jpg"], "what only looks alike is for a person to judge"
    assert "2 imagens e filmes" in (package / "data" / "report.html").read_text("utf-8")


def test_a_picture_with_too_little_in_it_is_never_matched(tmp_path: Path) -> None:
    source = tmp_path / "source"
    source.mkdir()
    (source / "grey.png").write_bytes(saved(Image.new("RGB", (300, 300), (90, 90, 90)), "PNG"))
    [grey] = picture.fingerprints((source / "grey.png").read_bytes())
    (tmp_path / "list.csv").write_text(f"pdq,entry\n{grey.fingerprint.bits.hex()},grey\n", "utf-8")
    package, _, _ = searched(source, tmp_path, tmp_path / "list.csv")
    assert grey.fingerprint.quality < 50 and rows(package, ALIKE) == []


@pytest.mark.parametrize("kept", [True, False], ids=["kept in memory", "read again where it lies"])
def test_a_film_that_was_encoded_again_is_found(kept: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    if not kept:
        monkeypatch.setattr(fingerprints, "LARGEST_FILM_KEPT", 1000)
    source = tmp_path / "source"
    source.mkdir()
    frames = film.fingerprint(io.BytesIO(moving(1))).frames
    text = to_json(frames).replace('"', '""')
    (tmp_path / "films.csv").write_text(f'signal_type,indicator\nvpdq,"{text}"\n', "utf-8")
    (source / "again.mp4").write_bytes(moving(1, width=240, height=180, rate=1_500_000))
    (source / "other.mp4").write_bytes(moving(2))
    package, _, _ = searched(source, tmp_path, tmp_path / "films.csv")
    [(path, _, method, distance, share)] = rows(package, ALIKE)
    assert (path, method) == ("again.mp4", "vpdq") and distance <= 31 and share >= 80
    assert rows(package, "select count(*) from fingerprints where seconds is not null")[0][0] >= 8


def test_a_damaged_picture_keeps_its_digests_and_is_no_problem_of_reading(tmp_path: Path, listed: Path) -> None:
    source = tmp_path / "source"
    source.mkdir()
    content = saved(KNOWN[0])[:900]
    (source / "cut.jpg").write_bytes(content)
    package, _, code = searched(source, tmp_path, listed)
    assert rows(package, "select md5, problem from files") == [(hashlib.md5(content).hexdigest(), None)]
    [(stage, path, message)] = rows(package, "select stage, path, message from problems")
    assert (stage, path) == ("fingerprint", "cut.jpg") and message.startswith("No fingerprint was taken: ")
    assert code == 0


def _crash(*_: Any) -> Any:
    os.kill(os.getpid(), signal.SIGSEGV)


def _hang(*_: Any) -> Any:
    time.sleep(600)


@pytest.mark.parametrize("fate", [_crash, _hang], ids=["crashes", "hangs"])
def test_a_decoder_that_is_brought_down_costs_that_files_fingerprint_and_nothing_else(
    fate: Callable[..., Any], tmp_path: Path, listed: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sound = picture.fingerprints

    def decoder(stream: Any) -> Any:
        data = stream.read()
        return fate() if b"the one that decoders cannot bear" in data else sound(data)

    monkeypatch.setattr(picture, "fingerprints", decoder)
    bad = saved(KNOWN[1]) + b"the one that decoders cannot bear"
    source = tmp_path / "source"
    source.mkdir()
    (source / "bad.jpg").write_bytes(bad)
    with zipfile.ZipFile(source / "packed.zip", "w") as file:
        file.writestr("bad.jpg", bad)
        file.writestr("good.jpg", saved(KNOWN[0], quality=50))
    for number in range(6):
        (source / f"good {number}.jpg").write_bytes(saved(KNOWN[0], quality=30 + number))
    package, _, _ = searched(source, tmp_path, listed, seconds_a_file=3.0)
    digests = dict(rows(package, "select path, md5 from files"))
    assert digests["bad.jpg"] == digests["packed.zip/bad.jpg"] == hashlib.md5(bad).hexdigest()
    assert None not in digests.values() and len(digests) == 10
    assert {row[0] for row in rows(package, ALIKE)} == {f"good {number}.jpg" for number in range(6)}
    said = rows(package, "select path, message from problems where stage = 'fingerprint' order by path")
    assert [path for path, _ in said] == ["bad.jpg", "packed.zip"]


def test_a_decoder_brought_down_by_what_was_carved_costs_nothing_else_of_the_free_space(
    tmp_path: Path, listed: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sound = picture.fingerprints
    bad = saved(KNOWN[1].resize((333, 222)))

    def decoder(stream: Any) -> Any:
        data = stream.read()
        return _crash() if data[:5000] == bad[:5000] else sound(data)

    monkeypatch.setattr(picture, "fingerprints", decoder)
    volume = ntfs.NtfsVolume(4 << 20, "TINY", DAY, 0, 7)
    volume.lay([Placed("readme.txt", b"words " * 99, DAY, DAY)], [bad, saved(KNOWN[0], quality=60)])
    (tmp_path / "disk.img").write_bytes(volume.image)
    package, _, _ = searched(tmp_path / "disk.img", tmp_path, listed)
    assert rows(package, "select count(*) from files where state = 'carved' and md5 is not null") == [(2,)]
    assert [row[1] for row in rows(package, ALIKE)] == ["picture 0"]


def test_the_tables_are_the_same_whatever_the_workers(tmp_path: Path, listed: Path) -> None:
    source = tmp_path / "source"
    source.mkdir()
    for seed in range(30):
        (source / f"{seed}.jpg").write_bytes(saved(landscape(seed % 8), quality=30 + seed))
    told = []
    for workers in (1, 3):
        place = tmp_path / str(workers)
        place.mkdir()
        package, _, _ = searched(source, place, listed, workers=workers)
        told.append((rows(package, "select * from fingerprints"), rows(package, "select * from matches")))
    assert told[0] == told[1] and len(told[0][0]) == 30


def test_the_export_for_review_carries_fingerprints_and_says_what_only_looks_alike(
    tmp_path: Path, listed: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AMPARO_KEY", str(tmp_path / "seal-key.pem"))
    source = tmp_path / "source"
    source.mkdir()
    (source / "recompressed.jpg").write_bytes(saved(KNOWN[0], quality=35))
    (source / "other.jpg").write_bytes(saved(landscape(50)))
    package, _, _ = searched(source, tmp_path, listed)
    exports.export(package, "vics", tmp_path / "vics.json")
    media = {
        one["RelativeFilePath"]: one for one in json.loads((tmp_path / "vics.json").read_text())["value"][0]["Media"]
    }
    prints = dict(rows(package, "select path, pdq from fingerprints p join files f on f.id = p.file_id"))
    for name, one in media.items():
        hashes = {given["HashName"]: given["HashValue"] for given in one["AlternativeHashes"]}
        assert hashes["PDQ"].lower() == prints[name]
    assert media["recompressed.jpg"]["IsSuspected"] and not media["other.jpg"]["IsSuspected"]
    assert "by pdq, entry picture 0" in media["recompressed.jpg"]["Comments"]
    page = (package / "data" / "report.html").read_text("utf-8")
    assert "PDQ" in page and "recompressed.jpg" in page
