"""Pictures to fingerprints: how fast, how near to the published program, how robust; the peer measured in the same run.

    python benchmarks/known_pictures.py PEERS [--part speed|distance|robustness|unrelated|memory] [--pictures N]

PEERS is a virtual environment with threatexchange and pdqhash (pip install threatexchange pdqhash). Speed and distance are run
where no part is named. All on one core; times are the least of several, the two sides in turn.
"""

from __future__ import annotations

import argparse
import io
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from known_corpus import photo
from known_edits import EDITS
from PIL import Image

from amparo.known.nearest import Nearest
from amparo.known.pdq import QUALITY, distance, of_luma
from amparo.known.picture import fingerprints
from amparo.known.pictures.jpeg import SIDE

SIZES = {"0.3": (640, 480), "1": (1152, 864), "3": (2000, 1500), "12": (4000, 3000)}  # megapixels: width, height
WANTED = {"0.3": 4, "1": 6, "3": 12, "12": 12}
MATCH = 31
Ask = Callable[..., dict[str, Any]]


@contextmanager
def peer(peers: Path) -> Iterator[Ask]:
    """A running peer that answers questions about a file."""
    script = Path(__file__).with_name("known_pictures_peer.py")
    with subprocess.Popen(
        [str(peers / "bin" / "python"), str(script)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdin and process.stdout

        def ask(path: Path, **asked: object) -> dict[str, Any]:
            assert process.stdin and process.stdout
            process.stdin.write(json.dumps({"path": str(path), **asked}) + "\n")
            process.stdin.flush()
            return dict(json.loads(process.stdout.readline()))

        yield ask
        process.stdin.close()


def run(peers: Path) -> None:
    """Speed and distance, the parts that the issue sets a bound for."""
    with tempfile.TemporaryDirectory() as scratch, peer(peers) as ask:
        speed(Path(scratch), ask)
        nearness(Path(scratch), ask, 300)


def speed(scratch: Path, ask: Ask) -> None:
    print("From a JPEG's bytes to fingerprint and eight forms, milliseconds on one core")
    print("  MP     ours   scaled decode alone   threatexchange      ratio (wanted)")
    for name, (width, height) in SIZES.items():
        paths = []
        for seed in range(4 if width < 2500 else 2):
            paths.append(scratch / f"{name}-{seed}.jpg")
            photo(seed, width, height).save(paths[-1], quality=87)
        times = 5 if width < 2500 else 2
        ours, decode, theirs = ([float("inf")] * len(paths) for _ in range(3))
        for _ in range(3):  # in turn, so that a neighbour's work disturbs all alike
            for n, path in enumerate(paths):
                data = path.read_bytes()
                ours[n] = min(ours[n], best_of(lambda data=data: fingerprints(data), 3 * times))
                decode[n] = min(decode[n], best_of(lambda data=data: scaled(data), 3 * times))
                theirs[n] = min(theirs[n], float(ask(path, times=times)["seconds"]))
        a, b, c = (sum(seconds) / len(paths) * 1000 for seconds in (ours, decode, theirs))
        print(f"{name:>4} {a:8.2f} {b:12.2f} ({a / b:4.2f} x) {c:16.1f} {c / a:10.1f} x ({WANTED[name]})")
    print("The kernel alone, microseconds, on luma of full size")
    for width, height in ((512, 384), (1280, 720), (2000, 1500), (4000, 3000)):
        luma = np.random.default_rng(1).integers(0, 256, (height, width), np.uint8)
        print(f"  {width} x {height}: {best_of(lambda luma=luma: of_luma(luma), 30) * 1e6:,.0f}")


def scaled(data: bytes) -> None:
    image = Image.open(io.BytesIO(data))
    image.draft("L", (SIDE, SIDE))
    image.load()


def best_of(work: Callable[[], object], times: int) -> float:
    best = float("inf")
    for _ in range(times):
        begin = time.perf_counter()
        work()
        best = min(best, time.perf_counter() - begin)
    return best


def nearness(scratch: Path, ask: Ask, count: int) -> None:
    print(f"Distance to threatexchange over {count} JPEGs of 0.2 to 4 MP; those below quality {QUALITY} apart")
    good, poor, qualities = [], [], []
    chance = np.random.default_rng(7)
    path = scratch / "near.jpg"
    for seed in range(count):
        area, shape = np.exp(chance.uniform(np.log(2e5), np.log(4e6))), chance.uniform(0.5, 2)
        width, height = int(np.sqrt(area * shape)), int(np.sqrt(area / shape))
        photo(1000 + seed, width, height).save(
            path,
            quality=int(chance.integers(60, 98)),
            progressive=bool(seed % 4 == 0),
            subsampling=("4:4:4", "4:2:2", "4:2:0")[seed % 3],
        )
        (ours,) = fingerprints(path.read_bytes())
        theirs = ask(path)
        apart = distance(ours.fingerprint.bits, bytes.fromhex(theirs["pdq"]))
        (good if theirs["quality"] >= QUALITY else poor).append(apart)
        if theirs["quality"] < 100:
            qualities.append(abs(ours.fingerprint.quality - theirs["quality"]))
    print(
        f"  {len(good):>4} of quality:  median {np.median(good):.0f}, p99 {np.percentile(good, 99):.0f}, max {max(good)}"
    )
    if poor:
        print(f"  {len(poor):>4} below it:    median {np.median(poor):.0f}, max {max(poor)}")
    print(f"  quality differs by {max(qualities, default=0)} at most, by {np.mean(qualities or [0]):.1f} on average")


def robustness(scratch: Path, ask: Ask, count: int) -> None:
    """A table for docs/matching.md."""
    print(
        f"Share of {count} pictures of 0.5 MP (JPEG, quality of the fingerprint {QUALITY} and more) found at <= {MATCH}, in per cent;"
    )
    print("median distance in brackets. The reference is asked for the plain hash, and for the nearest of its eight.")
    columns: dict[str, list[tuple[int, int, int]]] = {name: [] for name in EDITS}
    original, edited = scratch / "original.jpg", scratch / "edited"
    seed = 5000
    while count:
        seed += 1
        image = photo(seed, 816, 612)
        image.save(original, quality=90)
        theirs = ask(original)
        if theirs["quality"] < QUALITY:
            continue
        count -= 1
        (ours,) = fingerprints(original.read_bytes())
        before = bytes.fromhex(theirs["pdq"])
        for name, edit in EDITS.items():
            edited.write_bytes(edit(image, np.random.default_rng(seed)))
            forms = fingerprints(edited.read_bytes())[0].dihedral
            there = ask(edited, dihedral=True)
            columns[name].append(
                (
                    min(distance(form, ours.fingerprint.bits) for form in forms),
                    distance(bytes.fromhex(there["pdq"]), before),
                    min(distance(bytes.fromhex(form), before) for form in there["dihedral"]),
                )
            )
    print("| edit | Amparo | reference, plain | reference, eight forms |\n| --- | --- | --- | --- |")
    for name, found in columns.items():
        shown = (
            f"{np.mean(np.array(one) <= MATCH) * 100:.0f} ({np.median(one):.0f})" for one in zip(*found, strict=True)
        )
        print(f"| {name} | {' | '.join(shown)} |")


def unrelated(count: int) -> None:
    """How many pairs of pictures that have nothing to do with each other are a match, each looked up with its eight forms."""
    begin = time.perf_counter()
    plain, forms = [], []
    for seed in range(count):
        luma = np.asarray(photo(1_000_000 + seed, 128, 96).convert("L"))
        (found,) = fingerprints(png(luma))
        if found.fingerprint.quality >= QUALITY:
            plain.append(found.fingerprint.bits)
            forms.append(b"".join(found.dihedral))
    known = np.frombuffer(b"".join(plain), np.uint8).reshape(-1, 32)
    asked = np.frombuffer(b"".join(forms), np.uint8).reshape(-1, 32)
    print(
        f"{count:,} pictures, {len(known):,} of quality {QUALITY} and more, {time.perf_counter() - begin:,.0f} s to make"
    )
    hits = Nearest.of(known).within(asked, MATCH)
    mine, form, other = hits.query // 8, hits.query % 8, hits.row
    plain_pairs = {(a, b) for a, b in zip(mine[form == 0], other[form == 0], strict=True) if a < b}
    pairs = {(min(a, b), max(a, b)) for a, b in zip(mine, other, strict=True) if a != b}
    print(
        f"of {len(known) * (len(known) - 1) // 2:,} pairs {len(plain_pairs)} match as they are, {len(pairs)} by any of the eight forms"
    )


def png(luma: np.ndarray) -> bytes:
    out = io.BytesIO()
    Image.fromarray(luma).save(out, "PNG", compress_level=1)
    return out.getvalue()


MEASURE = """
import re, sys
from pathlib import Path
from amparo.known.picture import Limits, fingerprints
def peak():
    return int(re.search(r"VmHWM:\\s+(\\d+)", Path("/proc/self/status").read_text())[1]) * 1024
data = Path(sys.argv[1]).read_bytes()
before = peak()
found = fingerprints(data, limits=Limits(memory=1 << 40))
print((peak() - before) / (found[0].width * found[0].height))
"""


def memory(scratch: Path) -> None:
    """Bytes a pixel that decoding takes at its peak, for the table in amparo/known/pictures/many.py."""
    image = photo(1, 4000, 3000)
    saved: dict[str, tuple[Image.Image, dict[str, Any]]] = {
        "jpg": (image, {}), "jpg progressive": (image, {"progressive": True, "subsampling": 0}), "png": (image, {}),
        "png grey": (image.convert("L"), {}), "png palette": (image.quantize(64), {}), "gif": (image, {}),
        "gif animated": (image, {"save_all": True, "append_images": [image.rotate(90), image.rotate(180)]}),
        "webp": (image, {}), "webp animated": (image, {"save_all": True, "append_images": [image.rotate(180)]}),
        "avif": (image, {"speed": 10}), "tif": (image, {"compression": "tiff_lzw"}), "tif cmyk": (image.convert("CMYK"), {}),
        "tif float": (image.convert("F"), {}), "bmp": (image, {}), "jp2": (image, {}),
    }  # fmt: skip
    for name, (one, options) in saved.items():
        path = scratch / f"memory.{name.split()[0]}"
        one.save(path, **options)
        took = subprocess.run([sys.executable, "-c", MEASURE, str(path)], capture_output=True, text=True, check=True)
        print(f"  {name:<16} {float(took.stdout):5.1f} bytes a pixel")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("peers", type=Path)
    parser.add_argument("--part", choices=("speed", "distance", "robustness", "unrelated", "memory"))
    parser.add_argument("--pictures", type=int)
    chosen = parser.parse_args()
    if chosen.part is None:
        return run(chosen.peers)
    if chosen.part == "unrelated":
        return unrelated(chosen.pictures or 100_000)
    with tempfile.TemporaryDirectory() as scratch, peer(chosen.peers) as ask:
        if chosen.part == "speed":
            speed(Path(scratch), ask)
        elif chosen.part == "distance":
            nearness(Path(scratch), ask, chosen.pictures or 300)
        elif chosen.part == "robustness":
            robustness(Path(scratch), ask, chosen.pictures or 100)
        else:
            memory(Path(scratch))


if __name__ == "__main__":
    main()
