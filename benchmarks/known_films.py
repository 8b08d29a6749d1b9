"""Films against vpdq, in the same run: how long a film of a minute takes, and how well copies of it are known.

    python benchmarks/known_films.py [--quick] [--peers VENV]

Generates a film of 60 s in 720p and four copies of it: re-encoded, scaled, cropped by 5 %, with a logo. Prints seconds and
ratios, on one core each: one frame a second beside the bare decode by PyAV (all frames, no fingerprint) and vpdq, all frames
beside vpdq; how far apart the two programs' fingerprints of the same frames are; then for each copy, by either program, the two
shares with the original and the mean distance. Of three rounds the quickest counts (vpdq's of all frames runs once).

``VENV`` has vpdq, which builds against Debian's libavcodec-dev, libavformat-dev, libavdevice-dev, libavfilter-dev,
libswscale-dev and libswresample-dev; where it is absent it is made and filled.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import av

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from amparo.known.film import Frame, compare, fingerprint  # noqa: E402
from amparo.known.pdq import distance  # noqa: E402
from tests.known.film_specimens import cropped, film, scenes, smaller, with_logo  # noqa: E402

SECONDS, QUICK_SECONDS, ROUNDS = 60, 12, 3
CHANGES = {
    "re-encoded": lambda picture: picture,
    "scaled to 480p": smaller(480, 854),
    "cropped by 5 %": cropped(0.05),
    "with a logo": with_logo,
}
ASK = """
import json, sys, time, vpdq
began = time.perf_counter()
found = vpdq.computeHash(sys.argv[1], seconds_per_hash=float(sys.argv[2]), thread_count=int(sys.argv[3]))
took = time.perf_counter() - began
print("\\n" + json.dumps([took, [[f.frame_number, f.timestamp, f.hex, f.quality] for f in found]]))
"""


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--quick", action="store_true", help="a film of 12 s")
    parser.add_argument("--peers", type=Path, default=Path("/var/tmp/peers"))
    given = parser.parse_args()
    run(given.peers, given.quick)


def run(peers: Path, quick: bool = False) -> None:
    """Prints the tables. Ends the program where a bound of the promise is missed."""
    _install(peers)
    with tempfile.TemporaryDirectory() as scratch:
        original, copies = _films(Path(scratch), QUICK_SECONDS if quick else SECONDS)
        missed = [*_speed(peers, original, copies["re-encoded"]), *_quality(peers, original, copies)]
    if missed:
        sys.exit("missed: " + "; ".join(missed))


def _install(peers: Path) -> None:
    if not (peers / "bin" / "python").exists():
        subprocess.run([sys.executable, "-m", "venv", str(peers)], check=True)
    python = str(peers / "bin" / "python")
    if subprocess.run([python, "-c", "import vpdq"], capture_output=True).returncode:
        made = subprocess.run([python, "-m", "pip", "install", "--quiet", "vpdq"], capture_output=True, text=True)
        if made.returncode:
            sys.exit(
                f"vpdq could not be built; install the Debian packages that this file names.\n{made.stderr[-500:]}"
            )


def _films(folder: Path, seconds: int) -> tuple[Path, dict[str, Path]]:
    """An original of 8 Mbit/s, and copies of 1.5."""
    original = folder / "original.mp4"
    film(original, scenes(720, 1280, 30 * seconds), bits=8_000_000)
    copies = {name: folder / f"{name.replace(' ', '-')}.mp4" for name in CHANGES}
    for name, path in copies.items():
        film(path, map(CHANGES[name], scenes(720, 1280, 30 * seconds)), bits=1_500_000)
    return original, copies


def _speed(peers: Path, *films: Path) -> list[str]:
    missed = []
    print(f"{'seconds, one core each':34} {'Amparo':>8} {'bare':>8} {'vpdq':>8}   Amparo takes")
    for path in films:
        rounds = [
            (
                _timed(lambda: fingerprint(path)),  # noqa: B023
                _timed(lambda: _bare(path)),  # noqa: B023
                _timed(lambda: fingerprint(path, 0)),  # noqa: B023
                _timed(lambda: fingerprint(path, 1, keyframes_only=True)),  # noqa: B023
                _asked(peers, path, 1)[0],
            )
            for _ in range(ROUNDS)
        ]
        second, bare, every, keys, second_theirs = (min(times) for times in zip(*rounds, strict=True))
        every_theirs = _asked(peers, path, 0)[0]
        name = f"{path.stem}, {path.stat().st_size / 1e6:.0f} MB"
        print(
            f"{name + ', 1 frame/s':34} {second:8.2f} {bare:8.2f} {second_theirs:8.2f}   "
            f"{second / bare:.2f} of the bare decode, 1/{second_theirs / second:.1f} of vpdq"
        )
        print(
            f"{name + ', all frames':34} {every:8.2f} {bare:8.2f} {every_theirs:8.2f}   1/{every_theirs / every:.1f} of vpdq"
        )
        print(f"{name + ', key frames':34} {keys:8.2f}")
        if second > 1.15 * bare:
            missed.append(f"{path.stem}: one frame a second takes {second / bare:.2f} of the bare decode")
        if every_theirs < 4 * every:
            missed.append(f"{path.stem}: all frames are only {every_theirs / every:.1f} x as quick as vpdq")
    return missed


def _quality(peers: Path, original: Path, copies: dict[str, Path]) -> list[str]:
    missed = []
    known = {every: (fingerprint(original, every).frames, _asked(peers, original, every)[1]) for every in (1, 0)}
    for every, name in ((1, "1 frame/s"), (0, "all frames")):
        ours, theirs = known[every]
        apart = _apart(ours, theirs)
        same = [one.number for one in ours] == [other.number for other in theirs]
        print(
            f"{name}: the same {len(ours)} frames as vpdq: {same}; bits apart: mean {sum(apart) / len(apart):.2f}, most {max(apart)}"
        )
        if not same or max(apart) > 12:
            missed.append(f"{name}: not vpdq's fingerprints")
    print(f"\n{'shares at 31 bits; bits apart':34} {'Amparo':>22} {'vpdq':>22}")
    for name, path in copies.items():
        pairs = ((fingerprint(path).frames, known[1][0]), (_asked(peers, path, 1)[1], known[1][1]))
        (there, back, apart), (theirs, theirs_back, theirs_apart) = (
            (*compare(copy, reference), statistics.mean(_apart(copy, reference))) for copy, reference in pairs
        )
        print(f"{name:34} {there:7.0%} {back:6.0%} {apart:7.1f} {theirs:7.0%} {theirs_back:6.0%} {theirs_apart:7.1f}")
        if min(there, back) < min(theirs, theirs_back) - max(0.05, 2 / len(pairs[0][0])) or apart > theirs_apart + 1:
            missed.append(f"{name}: known worse than by vpdq")
    return missed


def _apart(some: list[Frame], others: list[Frame]) -> list[int]:
    return [distance(one.bits, other.bits) for one, other in zip(some, others, strict=True)]


def _timed(act: Callable[[], object]) -> float:
    began = time.perf_counter()
    act()
    return time.perf_counter() - began


def _bare(path: Path) -> None:
    with av.open(str(path)) as container:
        stream = container.streams.video[0]
        stream.codec_context.thread_count = 1
        for _ in container.decode(stream):
            pass


def _asked(peers: Path, path: Path, every: float) -> tuple[float, list[Frame]]:
    """Seconds that vpdq took, and what it found. Its decoder, and the threads that it hashes with, have one core as ours have."""
    core = min(os.sched_getaffinity(0))
    made = subprocess.run(
        [str(peers / "bin" / "python"), "-c", ASK, str(path), str(every), "1"],
        check=True,
        capture_output=True,
        text=True,
        preexec_fn=lambda: os.sched_setaffinity(0, {core}),
    )
    took, found = json.loads(made.stdout.splitlines()[-1])
    return took, [Frame(number, moment, bytes.fromhex(bits), quality) for number, moment, bits, quality in found]


if __name__ == "__main__":
    main()
