"""What the match service does not answer: each is a sentence and a code, and none of it gets past what the operator allows."""

from __future__ import annotations

import json
import random
import socket
import time
from collections.abc import Iterator
from datetime import timedelta

import httpx
import pytest

from amparo import clock
from tests.known.service_running import Running, amparo, digest, running, until

pytest.importorskip("fastapi")

KNOWN = {"md5": digest("md5", 3)}


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    options = (
        "--workers",
        "1",
        "--decoders",
        "1",
        "--most-items",
        "50",
        "--seconds-a-body",
        "1",
        "--most-picture",
        "200000",
    )
    with running(tmp_path_factory.mktemp("refusals"), *options) as service:
        yield service


def refused(answer: httpx.Response, status: int, code: str) -> None:
    assert (answer.status_code, answer.json()["code"]) == (status, code), answer.text
    assert answer.json()["error"].endswith(".") and answer.json()["request"] == answer.headers["x-request-id"]


def raw(service: Running, *pieces: bytes, pause: float = 0.0) -> bytes:
    """What comes back for bytes as they are, until the service closes the connection or says no more."""
    with socket.create_connection(("127.0.0.1", service.port), 3) as connection:
        answer = b""
        try:
            for piece in pieces:
                connection.sendall(piece)
                time.sleep(pause)
            while more := connection.recv(1 << 16):
                answer += more
        except (BrokenPipeError, ConnectionResetError, TimeoutError):
            pass
        return answer


def still_answers(service: Running) -> bool:
    return service.ask(service.key("match"), KNOWN).json()["results"] == [{"match": True}]


# Keys --------------------------------------------------------------------------------------------------------------


def test_a_key_that_is_revoked_is_refused_at_once_by_the_service_that_runs(service: Running):
    key = service.key("match")
    assert service.ask(key, KNOWN).status_code == 200
    done = amparo("provider", "key", "revoke", key.split("_")[1], "--keys", str(service.keys))
    assert done.returncode == 0 and "refused from now on" in done.stdout
    refused(service.ask(key, KNOWN), 401, "no_key")


def test_a_key_that_has_expired_is_refused(service: Running):
    key = service.key("match", expires=clock.now() + timedelta(seconds=2))
    assert service.ask(key, KNOWN).status_code == 200
    until(lambda: service.ask(key, KNOWN).status_code == 401)


def test_where_others_may_write_the_file_of_keys_nobody_is_answered(service: Running):
    key = service.key("match")
    service.keys.chmod(0o660)
    try:
        refused(service.ask(key, KNOWN), 503, "no_keys")
        assert service.get("/health/ready").status_code == 503 and service.get("/health/live").status_code == 200
    finally:
        service.keys.chmod(0o600)
    assert service.ask(key, KNOWN).status_code == 200


@pytest.mark.parametrize(
    "text", ["", "{", "[]", '{"format": "amparo provider keys", "version": 1, "keys": [{"id": 1}]}']
)
def test_where_the_file_of_keys_is_damaged_nobody_is_answered(service: Running, text: str):
    key, before = service.key("match"), service.keys.read_bytes()
    service.keys.write_text(text)
    try:
        refused(service.ask(key, KNOWN), 503, "no_keys")
    finally:
        service.keys.write_bytes(before)
    assert service.ask(key, KNOWN).status_code == 200


def test_two_keys_in_one_request_are_no_key(service: Running):
    headers = [("Authorization", f"Bearer {service.key('match')}")] * 2
    refused(httpx.post(f"{service.url}/v1/match", headers=headers, json={"items": [KNOWN]}), 401, "no_key")


def test_a_key_is_looked_for_nowhere_but_in_its_header(service: Running):
    key = service.key("match")
    cookie = {"Cookie": f"key={key}", "X-Api-Key": key}
    refused(service.post(f"/v1/match?key={key}", None, json={"items": [KNOWN]}, headers=cookie), 401, "no_key")


def test_a_key_does_only_what_its_scopes_say(service: Running):
    refused(service.ask(service.key("metrics"), KNOWN), 403, "no_scope")
    refused(service.post("/v1/match/picture", service.key("metrics"), content=b"x"), 403, "no_scope")
    refused(service.post("/v1/match/pictures", service.key("metrics"), files={"a": b"x"}), 403, "no_scope")
    refused(service.get("/metrics", service.key("match", "match:list", "match:entry")), 403, "no_scope")
    assert b"amparo_requests_total" in service.get("/metrics", service.key("metrics")).content


# Quotas ------------------------------------------------------------------------------------------------------------


def test_the_quota_of_a_minute_counts_look_ups_and_not_requests(service: Running):
    key = service.key("match", per_minute=40)
    until(lambda: time.time() % 60 < 50, 20)
    assert service.ask(key, *[KNOWN] * 30).status_code == 200
    answer = service.ask(key, *[KNOWN] * 30)
    refused(answer, 429, "quota_of_minute")
    assert 0 < int(answer.headers["retry-after"]) <= 60 and "40" in answer.json()["error"]
    assert service.ask(key, *[KNOWN] * 5).status_code == 200, "what was refused does not count in full"


def test_the_quota_of_a_day_outlives_the_minute_and_a_film_counts_by_its_frames(service: Running):
    key = service.key("match", per_day=20)
    film = {"vpdq": [f"{n},90,{n:064x},{n}.0" for n in range(19)]}
    assert service.ask(key, film).status_code == 200
    refused(service.ask(key, KNOWN, KNOWN), 429, "quota_of_day")
    refused(service.post("/v1/match/picture", key, content=b"x"), 429, "quota_of_day")


def test_what_cannot_be_understood_counts_too(service: Running):
    key = service.key("match", per_day=3)
    for _ in range(3):
        refused(service.post("/v1/match", key, content=b"{"), 422, "not_understood")
    refused(service.post("/v1/match", key, content=b"{"), 429, "quota_of_day")


def test_a_key_has_no_more_requests_at_work_than_it_may(service: Running):
    key = service.key("match", at_once=1)
    head = f"POST /v1/match HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {key}\r\ncontent-length: 9\r\n\r\n".encode()
    with socket.create_connection(("127.0.0.1", service.port)) as waiting:
        waiting.sendall(head)
        time.sleep(0.2)
        answer = service.ask(key, KNOWN)
        refused(answer, 429, "too_many_at_once")
        assert answer.headers["retry-after"] == "1"
    until(lambda: service.ask(key, KNOWN).status_code == 200)


# What is sent ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "body",
    [
        b"", b"{", b"[]", b"null", b"{}", b'{"items": []}', b'{"items": {}}', b'{"items": [1]}', b'{"items": [null]}',
        b'{"items": [{"md5": 5}]}', b'{"items": [{"md5": "5"}]}', b'{"items": [{"md5": "' + b"g" * 32 + b'"}]}',
        b'{"items": [{"md5": "' + b"\xff" * 32 + b'"}]}', b'{"items": [{"sha1": "' + b"a" * 64 + b'"}]}',
        b'{"items": [{"pdq": "' + b"a" * 64 + b'", "quality": 101}]}', b'{"items": [{"pdq": "' + b"a" * 64 + b'", "quality": true}]}',
        b'{"items": [{"md5": "' + b"a" * 32 + b'", "path": "/etc/passwd"}]}', b'{"items": [{"vpdq": []}]}',
        b'{"items": [{"vpdq": ["x"]}]}', b'{"items": [{"vpdq": [7]}]}', b'{"items": [{"quality": 7}]}', b'{"items": [{}]}',
        b'{"items": [{"md5": "' + b"a" * 32 + b'\n"}]}', b'{"items": [{"md5": "' + b"a" * 32 + b'"}], "radius": 256}',
        b"[" * 100_000, b'{"a":' * 40, b'{"items": [' + b"9" * 1_000_000 + b"]}", b"\x00" * 1000, b"\x1f\x8b\x08\x00" + bytes(99),
        b'{"items": [{"md5": NaN}]}', b'{"items": [{"md5": "\\ud800' + b"a" * 31 + b'"}]}',
        "{\"items\": [{\"md5\": \"é\"}]}".encode("latin-1"),
    ],
)  # fmt: skip
def test_what_is_not_as_described_is_refused_with_the_place_and_not_the_content(service: Running, body: bytes):
    answer = service.post("/v1/match", service.key("match"), content=body)
    assert answer.status_code == 422 and answer.json()["code"] in ("not_understood", "nothing_asked"), answer.text
    assert "aaaa" not in answer.text and "9999" not in answer.text and len(answer.content) < 500


def test_a_film_of_frames_as_both_programs_write_them_is_understood(service: Running):
    lines = [f"{n},90,{n:064x},{n}.0" for n in range(3)], [f"{n:064X},90,{n}.5" for n in range(3)]
    for frames in lines:
        assert service.ask(service.key("match"), {"vpdq": frames}).json()["results"] == [{"match": False}]


def test_more_items_than_the_operator_allows_are_refused(service: Running):
    assert service.ask(service.key("match"), *[KNOWN] * 50).status_code == 200
    refused(service.ask(service.key("match"), *[KNOWN] * 51), 413, "batch_too_large")


@pytest.mark.parametrize(
    "body",
    [
        b'{"items": [' + b"{}," * 1_300_000 + b"{}]}", b'{"a":' * 100_000, b'{"items": [' + b"1," * 1_900_000 + b"1]}",
        b'{"items": [{' + b",".join(b'"k%d":1' % n for n in range(350_000)) + b"}]}",
        b'{"items": [{"vpdq": [' + b'"",' * 1_300_000 + b'""]}]}',
    ],
    ids=["objects", "nested", "numbers", "fields", "frames"],
)  # fmt: skip
def test_millions_of_things_are_refused_before_anything_is_made_of_them(service: Running, body: bytes):
    began = time.monotonic()
    answer = service.post("/v1/match", service.key("match"), content=body)
    assert answer.status_code in (413, 422) and time.monotonic() - began < 2


def test_a_body_that_is_too_large_is_refused_whether_or_not_it_says_so(service: Running):
    key = service.key("match")
    refused(service.post("/v1/match", key, content=b" " * ((4 << 20) + 1)), 413, "too_large")
    refused(service.post("/v1/match/picture", key, content=bytes(200_001)), 413, "too_large")
    head = f"POST /v1/match HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {key}\r\n"
    assert raw(service, f"{head}content-length: 99999999999\r\n\r\n".encode()).startswith(b"HTTP/1.1 413 ")
    chunk = b"10000\r\n" + b" " * 65536 + b"\r\n"
    answer = raw(service, f"{head}transfer-encoding: chunked\r\n\r\n".encode(), *[chunk] * 100)
    assert answer == b"" or answer.startswith(b"HTTP/1.1 413 ")
    assert still_answers(service)


def test_a_body_that_comes_too_slowly_is_refused_and_the_connection_closed(service: Running):
    head = f"POST /v1/match HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {service.key('match')}\r\ncontent-length: 900\r\n\r\n"
    began = time.monotonic()
    answer = raw(service, head.encode(), *[b" "] * 5, pause=0.3)
    assert answer.startswith(b"HTTP/1.1 408 ") and b"connection: close" in answer and time.monotonic() - began < 8


def test_a_head_that_comes_too_slowly_is_cut_off(service: Running):
    began = time.monotonic()
    assert raw(service) == b"" and time.monotonic() - began < 5
    assert raw(service, *[b"GET / HT", b"TP/1.1\r\n", b"x: y\r\n", b"z: "], pause=0.5) == b""
    assert still_answers(service)


def test_a_head_that_is_too_long_is_refused(service: Running):
    assert raw(service, b"GET /" + b"a" * 20_000 + b" HTTP/1.1\r\nhost: x\r\n\r\n").startswith(b"HTTP/1.1 431 ")
    assert raw(service, b"GET / HTTP/1.1\r\n" + b"a: b\r\n" * 100_000).startswith(b"HTTP/1.1 431 ")


@pytest.mark.parametrize(
    "bytes_",
    [
        b"\r\n\r\n\r\n", b"\x16\x03\x01\x02\x00", b"GET / HTTP/9.9\r\n\r\n", b"POST /v1/match HTTP/1.1\r\ncontent-length: -1\r\n\r\n",
        b"POST /v1/match HTTP/1.1\r\nhost: x\r\ncontent-length: 5\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n",
        b"POST /v1/match HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\nzz\r\n", b"GET  HTTP/1.1\r\nhost: x\r\n\r\n",
        b"GET http://[ HTTP/1.1\r\nhost: x\r\n\r\n", b"GET /%00%ff HTTP/1.1\r\nhost: x\r\n\r\n", b"CONNECT x:1 HTTP/1.1\r\n\r\n",
        b"GET /v1/match HTTP/1.1\r\nhost: x\r\nupgrade: websocket\r\nconnection: upgrade\r\n\r\n", b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    ],
)  # fmt: skip
def test_what_is_hardly_http_neither_harms_nor_is_answered(service: Running, bytes_: bytes):
    answer = raw(service, bytes_)
    assert b"match" not in answer.partition(b"\r\n\r\n")[2] and b" 200 " not in answer[:16]
    assert still_answers(service)


def test_spoilt_requests_do_no_harm(service: Running):
    chosen, key = random.Random(1), service.key("match")
    body = b'{"items": [{"md5": "%s"}]}' % digest("md5", 3).encode()
    head = f"POST /v1/match HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {key}\r\ncontent-length: {len(body)}\r\n\r\n"
    statuses = set()
    for _ in range(400):
        spoilt = bytearray(head.encode() + body)
        for _ in range(chosen.randrange(1, 6)):
            at = chosen.randrange(len(spoilt))
            if chosen.random() < 0.7:
                spoilt[at] = chosen.randrange(256)
            else:
                spoilt[at : at + chosen.randrange(3)] = chosen.randbytes(chosen.randrange(4))
        with socket.create_connection(("127.0.0.1", service.port), 0.05) as connection:
            try:
                connection.sendall(bytes(spoilt))
                statuses.add(connection.recv(4096)[9:12])
            except OSError:  # it waits for more
                continue
    assert {b"400", b"401", b"422"} <= statuses <= {b"", b"200", b"400", b"401", b"404", b"405", b"413", b"415", b"422"}
    assert still_answers(service) and service.log.read_text().count("\n") == 1


def test_a_body_that_was_packed_is_not_unpacked(service: Running):
    answer = service.post("/v1/match", service.key("match"), content=b"x", headers={"Content-Encoding": "gzip"})
    refused(answer, 415, "encoded")


def test_what_is_not_there_is_told_to_those_with_a_key_only(service: Running):
    key = service.key("match")
    for route in ("/", "/v1", "/v1/lists", "/docs", "/redoc", "/v1/match/../../etc/passwd", "/health"):
        refused(service.get(route, key), 404, "no_route")
        refused(service.get(route), 401, "no_key")
    refused(service.get("/v1/match", key), 405, "no_method")
    schema = service.get("/openapi.json", key).json()
    assert set(schema["paths"]) == {
        "/v1/match", "/v1/match/picture", "/v1/match/pictures", "/health/live", "/health/ready", "/metrics",
    }  # fmt: skip
    assert service.get("/openapi.json").status_code == 401
    named = set(json.dumps(schema).split('"#/components/schemas/')[1:])
    assert {name.partition('"')[0] for name in named} <= set(schema["components"]["schemas"])


def test_a_refusal_is_in_portuguese_where_that_is_asked_for(service: Running):
    answer = service.post("/v1/match", None, json={"items": [KNOWN]}, headers={"Accept-Language": "pt-PT,pt;q=0.9"})
    assert answer.json()["error"] == "Envie uma chave em vigor, como Authorization: Bearer e a chave."
