"""How many look-ups and pictures ``amparo provider serve`` answers a second, and how late its answers are at half of that.

    python benchmarks/known_service.py [--quick] [--peers FOLDER]

The service runs as an operator runs it, over a real socket on this machine, on as many processes as there are cores; whoever
asks runs on the same cores. Everything is generated. Batches hold 100 digests or fingerprints, of which one in fifty is known;
pictures are of one megapixel, JPEG, 180 kB. First as fast as the answers come, then at half of that rate, evenly.
"""

from __future__ import annotations

import argparse
import io
import json
import multiprocessing
import os
import random
import re
import socket
import subprocess
import sys
import tempfile
import threading
import time
from hashlib import md5
from pathlib import Path

import numpy as np
from PIL import Image

from amparo import clock
from amparo.known.library import Library
from amparo.known.service.keys import KeyFile

BATCH = 100
CONNECTIONS = 8
WANTED = {"digests": 5000, "fingerprints": 5000, "pictures": 200}
KNOWN = 50  # one in so many


def build(folder: Path, entries: int) -> tuple[Path, str]:
    """The index, and the key file's only key."""
    prints = np.random.default_rng(1).integers(0, 256, (entries, 32), np.uint8)
    with (folder / "list.csv").open("w") as out:
        out.write("md5,pdq,category,entry\n")
        for number in range(entries):
            out.write(f"{md5(b'%d' % number).hexdigest()},{prints[number].tobytes().hex()},{number % 3},e{number}\n")
    began = time.perf_counter()
    list(Library(folder / "index").add([folder / "list.csv"]))
    print(f"index of {entries:,} entries built in {time.perf_counter() - began:.1f} s", file=sys.stderr)
    key = KeyFile(folder / "keys.json").make(
        "benchmark", ["match:list", "match:category"], None, clock.now(), 1 << 40, 1 << 40, 1000
    )
    return folder / "index", key[1]


def photo(seed: int) -> bytes:
    """A generated photo-like JPEG of one megapixel."""
    generator = np.random.default_rng(seed)
    small = Image.fromarray(generator.integers(0, 256, (24, 32, 3), np.uint8))
    plain = np.asarray(small.resize((1200, 834), Image.Resampling.BICUBIC)).astype(np.int16)
    noisy = plain + generator.normal(0, 6, plain.shape).astype(np.int16)
    out = io.BytesIO()
    Image.fromarray(np.clip(noisy, 0, 255).astype(np.uint8)).save(out, "JPEG", quality=85)
    return out.getvalue()


def request(route: str, key: str, kind: str, body: bytes) -> bytes:
    """A whole HTTP request."""
    return (
        f"POST {route} HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {key}\r\ncontent-type: {kind}\r\n"
        f"content-length: {len(body)}\r\n\r\n"
    ).encode() + body


def batches(entries: int, key: str, what: str, count: int = 64) -> list[bytes]:
    """Requests of BATCH items each."""
    chosen, prints = random.Random(2), np.random.default_rng(1).integers(0, 256, (entries, 32), np.uint8)
    made = []
    for _ in range(count):
        items = []
        for place in range(BATCH):
            known = chosen.randrange(entries) if place % KNOWN == 0 else -1
            if what == "digests":
                items.append({"md5": md5(b"%d" % (known if known >= 0 else chosen.randrange(1 << 60))).hexdigest()})
            else:
                bits = prints[known].tobytes() if known >= 0 else chosen.randbytes(32)
                items.append({"pdq": (int.from_bytes(bits) ^ chosen.getrandbits(20)).to_bytes(32).hex()})
        made.append(request("/v1/match", key, "application/json", json.dumps({"items": items}).encode()))
    return made


class Connection:
    """One connection of whoever asks."""

    def __init__(self, port: int) -> None:
        self._socket = socket.create_connection(("127.0.0.1", port))
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def ask(self, whole: bytes) -> bytes:
        """Send a request and take its answer; the body."""
        self._socket.sendall(whole)
        answer = b""
        while b"\r\n\r\n" not in answer:
            answer += self._socket.recv(1 << 16)
        head, _, body = answer.partition(b"\r\n\r\n")
        assert head.startswith(b"HTTP/1.1 200"), answer
        length = int(re.search(rb"content-length: (\d+)", head)[1])  # type: ignore[index]
        while len(body) < length:
            body += self._socket.recv(1 << 16)
        return body


def load(port: int, requests: list[bytes], connections: int, seconds: float, rate: float | None) -> list[float]:
    """Seconds that each answer took, from when it was due; with a rate (a second, over all connections) they are due evenly."""
    taken: list[float] = []
    began = time.perf_counter() + 0.2

    def run(place: int) -> None:
        connection = Connection(port)
        number = 0
        while True:
            due = time.perf_counter() if rate is None else began + (place + number * connections) / rate
            if max(due, time.perf_counter()) > began + seconds:
                return
            time.sleep(max(0.0, due - time.perf_counter()))
            due = time.perf_counter() if rate is None else due
            connection.ask(requests[(place * 7 + number) % len(requests)])
            taken.append(time.perf_counter() - due)
            number += 1

    threads = [threading.Thread(target=run, args=(place,)) for place in range(connections)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return taken


def measured(port: int, requests: list[bytes], connections: int, seconds: float, each: int) -> dict[str, float]:
    """The rate as fast as it goes, and the delays at half of it."""
    load(port, requests, connections, 1.0, None)
    fast = load(port, requests, connections, seconds, None)
    half = np.array(load(port, requests, connections, seconds, len(fast) / seconds / 2))
    return {
        "a_second": len(fast) / seconds * each,
        "p50_ms": float(np.percentile(half, 50)) * 1000,
        "p99_ms": float(np.percentile(half, 99)) * 1000,
        "most_ms": float(half.max()) * 1000,
    }


def run(peers: Path | None, quick: bool = False) -> None:
    """The rates and the delays; beside them, where ``peers`` has it, what python-threatexchange does of the same."""
    entries, seconds = (100_000, 3.0) if quick else (1_000_000, 8.0)
    with tempfile.TemporaryDirectory(dir="/var/tmp") as name:
        folder = Path(name)
        index, key = build(folder, entries)
        with multiprocessing.Pool(2) as pool:
            data = pool.map(photo, range(24))
        rows = served(folder, index, key, entries, data, seconds)
        theirs: dict[str, float] = {}
        if peers is not None:
            np.save(folder / "prints.npy", np.random.default_rng(1).integers(0, 256, (entries, 32), np.uint8))
            for number, picture in enumerate(data):
                (folder / f"{number}.jpg").write_bytes(picture)
            command = [str(peers / "bin" / "python"), str(Path(__file__).with_name("known_service_peer.py"))]
            told = subprocess.run([*command, str(folder), str(seconds)], check=True, capture_output=True, text=True)
            theirs = json.loads(told.stdout)
    print(f"Over a socket, on {os.cpu_count()} cores that whoever asks shares, against {entries:,} entries")
    print(
        f"{'':14} {'a second':>10} {'(wanted)':>9} {'p50 ms':>8} {'p99 ms':>8} {'most ms':>8}   python-threatexchange alone"
    )
    for what, row in rows.items():
        beside = f"{theirs[what]:,.0f} a second: {row['a_second'] / theirs[what]:.1f} x" if what in theirs else ""
        print(
            f"{what:14} {row['a_second']:10,.0f} {WANTED[what]:9,} {row['p50_ms']:8.1f} {row['p99_ms']:8.1f}"
            f" {row['most_ms']:8.1f}   {beside}"
        )


def served(
    folder: Path, index: Path, key: str, entries: int, pictures: list[bytes], seconds: float
) -> dict[str, dict[str, float]]:
    """Start the service, measure, stop it."""
    command = [sys.executable, "-m", "amparo.cli", "provider", "serve", "--index", str(index), "--port", "0"]
    command += ["--keys", str(folder / "keys.json"), "--audit", str(folder / "audit.jsonl")]
    environment = {**os.environ, "AMPARO_LANGUAGE": "en"}
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True, env=environment) as process:
        try:
            assert process.stderr is not None
            port = int(re.search(r":(\d+);", process.stderr.readline())[1])  # type: ignore[index]
            time.sleep(3)
            rows = {
                what: measured(port, batches(entries, key, what), CONNECTIONS, seconds, BATCH)
                for what in ("digests", "fingerprints")
            }
            sent = [request("/v1/match/picture", key, "image/jpeg", data) for data in pictures]
            return {**rows, "pictures": measured(port, sent, CONNECTIONS, seconds, 1)}
        finally:
            process.terminate()


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="smaller: to see that it runs")
    parser.add_argument("--peers", type=Path, help="the environment that has python-threatexchange")
    given = parser.parse_args()
    run(given.peers, given.quick)
