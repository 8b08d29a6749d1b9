"""Pictures sent to the match service: known however they were changed, never stored, and a hostile one costs its request only."""

from __future__ import annotations

import io
import os
import random
import signal
import struct
import threading
import time
import zlib
from collections.abc import Iterator
from hashlib import md5
from pathlib import Path

import pytest
from PIL import Image, ImageOps

from amparo.known import picture
from tests.known.service_running import Running, running, until

pytest.importorskip("fastapi")


def scene(seed: int) -> Image.Image:
    """A picture with shapes enough to be told from others."""
    chosen = random.Random(seed)
    small = Image.frombytes("RGB", (12, 9), chosen.randbytes(12 * 9 * 3))
    return small.resize((640, 480), Image.Resampling.BICUBIC)


def encoded(image: Image.Image, kind: str = "JPEG", **more: object) -> bytes:
    out = io.BytesIO()
    image.save(out, kind, **more)
    return out.getvalue()


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    folder = tmp_path_factory.mktemp("pictures")
    from amparo.known.library import Library

    rows = ["md5,pdq,category,entry"]
    for seed in range(5):
        data = encoded(scene(seed), quality=95)
        [found] = picture.fingerprints(data)
        rows.append(f"{md5(data).hexdigest()},{found.fingerprint.bits.hex()},{seed},scene-{seed}")
    rows.append(f"{md5(b'no picture').hexdigest()},,9,opaque")
    (folder / "scenes.csv").write_text("\n".join([*rows, ""]))
    list(Library(folder / "index").add([folder / "scenes.csv"]))
    options = ("--workers", "1", "--decoders", "2", "--seconds-a-picture", "2", "--most-picture", "3000000")
    with running(folder, *options) as service:
        yield service


@pytest.fixture(scope="module")
def key(service: Running) -> str:
    return service.key("match:entry", "match:how", "metrics")


def send(service: Running, key: str, data: bytes) -> dict[str, object]:
    answer = service.post("/v1/match/picture", key, content=data)
    assert answer.status_code == 200, answer.text
    [result] = answer.json()["results"]
    return result


def decoders(service: Running) -> list[int]:
    """The processes that decode: those of the service that have no children and were forked by the one that only forks."""
    found = []
    for process in service.processes():
        words = Path(f"/proc/{process}/cmdline").read_bytes()
        parent = int(Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[1])
        if b"forkserver" in words and b"forkserver" in Path(f"/proc/{parent}/cmdline").read_bytes():
            found.append(process)
    return found


def still_answers(service: Running, key: str) -> bool:
    return bool(send(service, key, encoded(scene(1), quality=95))["match"])


def test_a_picture_is_known_by_its_bytes_and_by_its_looks(service: Running, key: str):
    exact = send(service, key, encoded(scene(3), quality=95))
    assert exact == {
        "match": True, "hits": [{"entry": "scene-3", "method": "md5", "distance": 0}], "compared": ["digests", "looks"],
    }  # fmt: skip
    for changed in (
        encoded(scene(3), quality=60), encoded(scene(3).resize((400, 300))), encoded(ImageOps.mirror(scene(3)), "PNG"),
        encoded(scene(3).rotate(90, expand=True), "WEBP", quality=80), encoded(scene(3), "BMP"), encoded(scene(3), "TIFF"),
    ):  # fmt: skip
        [hit] = send(service, key, changed)["hits"]  # type: ignore[misc]
        assert hit["entry"] == "scene-3" and hit["method"] == "pdq" and 0 <= hit["distance"] <= 31
    assert send(service, key, encoded(scene(77)))["match"] is False


def test_a_picture_with_too_little_in_it_is_compared_by_its_digests_only(service: Running, key: str):
    plain = encoded(Image.new("RGB", (300, 300), "grey"))
    assert send(service, key, plain) == {"match": False, "hits": [], "compared": ["digests"]}


def test_several_pictures_are_answered_in_their_order(service: Running, key: str):
    sent = [encoded(scene(seed), quality=95) for seed in (4, 99, 0)] + [b"no picture", b"nor this"]
    answer = service.post("/v1/match/pictures", key, files=[("a", (f"{n}", data)) for n, data in enumerate(sent)])
    results = answer.json()["results"]
    assert [result["match"] for result in results] == [True, False, True, True, False]
    assert [hit["entry"] for result in results for hit in result["hits"]] == ["scene-4", "scene-0", "opaque"]
    assert ["problem" in result for result in results] == [False, False, False, True, True]


def test_a_file_that_is_no_picture_is_still_known_by_its_digest(service: Running, key: str):
    assert send(service, key, b"no picture")["hits"] == [{"entry": "opaque", "method": "md5", "distance": 0}]
    answer = service.post("/v1/match/picture", key, content=b"nor this")
    assert (answer.status_code, answer.json()["code"]) == (422, "not_fingerprinted")


def bomb(side: int) -> bytes:
    """A PNG that claims side × side pixels."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    packed = zlib.compress(bytes(1 + side // 8) * 2000, 9)
    return (
        b"\x89PNG\r\n\x1a\n"
        + chunk(b"IHDR", struct.pack(">IIBBBBB", side, side, 1, 0, 0, 0, 0))
        + chunk(b"IDAT", packed)
        + chunk(b"IEND", b"")
    )


def test_hostile_pictures_are_refused_in_a_sentence_and_the_service_goes_on(service: Running, key: str):
    photo = encoded(scene(8), quality=90)
    chosen = random.Random(4)
    hostile = [
        b"",
        b"\xff\xd8\xff",
        photo[:50],
        bomb(65_000),
        bomb(30_000),
        b"GIF89a" + b"\xff" * 5000,
        b"\x89PNG\r\n\x1a\n" + bytes(5000),
    ]
    for _ in range(60):
        spoilt = bytearray(photo)
        for _ in range(chosen.randrange(1, 40)):
            spoilt[chosen.randrange(len(spoilt))] = chosen.randrange(256)
        hostile.append(bytes(spoilt))
    for data in hostile:
        answer = service.post("/v1/match/picture", key, content=data)
        assert answer.status_code in (200, 422), answer.text
        if answer.status_code == 422:
            assert answer.json()["code"] == "not_fingerprinted" and answer.json()["error"].endswith(".")
    assert still_answers(service, key)


def test_a_decoder_that_is_brought_down_costs_its_request_only(service: Running, key: str):
    before = decoders(service)
    assert len(before) == 2
    for process in before:
        os.kill(process, signal.SIGKILL)
    assert still_answers(service, key), "it had nothing in hand"
    until(lambda: len(decoders(service)) == 2 and not set(decoders(service)) & set(before))


def test_a_picture_that_brings_its_decoder_down_is_refused_and_the_next_one_is_not(service: Running, key: str):
    def strike() -> None:
        time.sleep(0.5)
        for process in decoders(service):
            os.kill(process, signal.SIGKILL)

    for process in decoders(service):
        os.kill(process, signal.SIGSTOP)
    striking = threading.Thread(target=strike)
    striking.start()
    answer = service.post("/v1/match/picture", key, content=encoded(scene(1), quality=95))
    striking.join()
    assert answer.status_code == 422 and "brought the process down" in answer.json()["error"]
    assert still_answers(service, key)
    assert 'amparo_decoder_losses_total{why="crashed"}' in service.get("/metrics", key).text


def test_a_decoder_that_hangs_is_stopped_at_the_limit(service: Running, key: str):
    before = decoders(service)
    for process in before:
        os.kill(process, signal.SIGSTOP)
    began = time.monotonic()
    answer = service.post("/v1/match/picture", key, content=encoded(scene(1), quality=95))
    assert (
        answer.status_code == 422 and "longer than the limit" in answer.json()["error"] and time.monotonic() - began < 8
    )
    until(lambda: still_answers(service, key), 20)
    assert 'amparo_decoder_losses_total{why="too_slow"}' in service.get("/metrics", key).text


def test_digests_are_answered_while_decoders_hang(service: Running, key: str):
    for process in decoders(service):
        os.kill(process, signal.SIGSTOP)
    waiting = [
        threading.Thread(target=service.post, args=("/v1/match/picture", key), kwargs={"content": b"x"})
        for _ in range(4)
    ]
    for thread in waiting:
        thread.start()
    time.sleep(0.3)
    began = time.monotonic()
    assert service.ask(key, {"md5": md5(b"no picture").hexdigest()}).json()["results"][0]["match"]
    assert time.monotonic() - began < 1
    for thread in waiting:
        thread.join()
    until(lambda: still_answers(service, key), 20)


@pytest.mark.parametrize(
    ("kind", "body"),
    [
        ("multipart/form-data", b"x"), ("multipart/form-data; boundary=", b"x"), ("text/plain", b"x"),
        ("multipart/form-data; boundary=b", b""),
        ("multipart/form-data; boundary=b", b"no boundary at all"), ("multipart/form-data; boundary=b", b"--b--\r\n"),
        ("multipart/form-data; boundary=b", b"--b\r\nx: y\r\n\r\ncut off"),
        ("multipart/form-data; boundary=b", b"--b\r\n" + b"x: y\r\n" * 9000),
        ("multipart/form-data; boundary=b", b"--b\r\n\r\nd\r\n" * 33 + b"--b--\r\n"),
        ("multipart/form-data; boundary=b", b"--b\r\nx: y\r\n\r\n" + bytes(3_000_001) + b"\r\n--b--\r\n"),
    ],
)  # fmt: skip
def test_parts_that_cannot_be_told_apart_or_are_too_many_are_refused(
    service: Running, key: str, kind: str, body: bytes
):
    answer = service.post("/v1/match/pictures", key, content=body, headers={"Content-Type": kind})
    assert answer.status_code in (413, 415, 422) and answer.json()["error"].endswith("."), answer.text


# What stays --------------------------------------------------------------------------------------------------------

MARK = random.Random(5).randbytes(3000)


def in_memory(process: int, mark: bytes) -> int:
    """How often a mark is in a process's memory."""
    found = 0
    with Path(f"/proc/{process}/mem").open("rb", 0) as memory:
        for line in Path(f"/proc/{process}/maps").read_text().splitlines():
            where, rights, *_ = line.split()
            if not rights.startswith("rw"):
                continue
            low, high = (int(part, 16) for part in where.split("-"))
            try:
                memory.seek(low)
                found += memory.read(high - low).count(mark)
            except OSError:
                continue
    return found


@pytest.mark.skipif(not Path("/proc/self/mem").exists(), reason="the memory of another process cannot be read here")
@pytest.mark.parametrize("route", ["/v1/match/picture", "/v1/match/pictures"])
def test_nothing_of_a_picture_stays_in_the_memory_of_any_process(service: Running, key: str, route: str):
    """The mark lies in a comment of three kilobytes; what is shorter than one may stay, which the documentation says."""
    data = encoded(scene(2), quality=95)
    marked = data[:2] + b"\xff\xfe" + struct.pack(">H", len(MARK) + 2) + MARK + data[2:] + MARK
    for _ in range(3):
        sent = {"content": marked} if route.endswith("picture") else {"files": [("a", marked), ("b", marked)]}
        assert service.post(route, key, **sent).json()["results"][0]["match"]
    time.sleep(0.2)
    try:
        assert [process for process in service.processes() if in_memory(process, MARK[1000:1032])] == []
    except PermissionError:
        pytest.skip("the memory of another process cannot be read here")


def test_nothing_of_a_picture_is_written_and_a_decoder_holds_neither_index_nor_port(service: Running, key: str):
    send(service, key, encoded(scene(2), quality=95))
    for process in service.processes():
        for link in Path(f"/proc/{process}/fd").iterdir():
            target = str(link.readlink())
            assert "(deleted)" not in target or target.startswith(("/dev/shm", "/memfd")), target
    for process in decoders(service):
        targets = [str(link.readlink()) for link in Path(f"/proc/{process}/fd").iterdir()]
        assert not [target for target in targets if str(service.folder) in target]
        listening = [
            line.split()[9] for line in Path("/proc/net/tcp").read_text().splitlines()[1:] if line.split()[3] == "0A"
        ]
        assert not [target for target in targets if target.removeprefix("socket:[").rstrip("]") in listening]
        assert str(service.index) not in Path(f"/proc/{process}/maps").read_text()
        limits = Path(f"/proc/{process}/limits").read_text()
        assert "Max file size             0 " in limits
