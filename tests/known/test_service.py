"""The match service, asked over a real socket: it says what a key may hear, and no more."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.known.service_running import ROWS, Running, digest, fingerprint, running

pytest.importorskip("fastapi")

ALL = ("match:list", "match:category", "match:entry", "match:how")


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    with running(tmp_path_factory.mktemp("service"), "--workers", "2", "--decoders", "1") as service:
        yield service


def test_a_digest_is_known_by_the_lists_that_have_it(service: Running):
    answer = service.ask(service.key(*ALL), {"md5": digest("md5", 250)}, {"sha256": digest("sha256", 5000)})
    assert answer.status_code == 200
    known, unknown = answer.json()["results"]
    assert known == {
        "match": True,
        "hits": [
            {"list": "a.csv", "category": "1", "entry": "a-250", "method": "md5", "distance": 0},
            {"list": "b.csv", "category": "1", "entry": "b-250", "method": "md5", "distance": 0},
        ],
    }
    assert unknown == {"match": False, "hits": []}


@pytest.mark.parametrize("kind", ["md5", "sha1", "sha256"])
def test_every_kind_of_digest_is_looked_up_in_whatever_case_it_is_written(service: Running, kind: str):
    answer = service.ask(service.key("match"), {kind: digest(kind, 3).upper()}, {kind: digest(kind, 9999)})
    assert [result["match"] for result in answer.json()["results"]] == [True, False]


def test_a_fingerprint_is_known_within_the_radius_and_not_beyond(service: Running):
    asked = [{"pdq": fingerprint(7, turned)} for turned in (0, 31, 32)]
    results = service.ask(service.key(*ALL), *asked, {"pdq": fingerprint(7), "quality": 49}).json()["results"]
    assert [result["match"] for result in results] == [True, True, False, False]
    assert [result["hits"][0]["distance"] for result in results[:2]] == [0, 31]


def test_a_batch_of_all_kinds_is_answered_in_its_order(service: Running):
    asked = []
    for number in range(0, 2 * ROWS, 3):
        asked.append(
            [{"md5": digest("md5", number)}, {"pdq": fingerprint(number, 3)}, {"sha1": digest("sha1", number)}][
                number % 3
            ]
        )
    results = service.ask(service.key("match"), *asked).json()["results"]
    assert [result["match"] for result in results] == [number < 200 + ROWS for number in range(0, 2 * ROWS, 3)]


def test_digests_of_one_content_that_contradict_each_other_are_told(service: Running):
    item = {"md5": digest("md5", 3), "sha256": digest("sha256", 4)}
    [result] = service.ask(service.key(*ALL), item).json()["results"]
    assert {(hit["entry"], hit["method"], hit.get("contradicted")) for hit in result["hits"]} == {
        ("a-3", "md5", True), ("a-4", "sha256", None),
    }  # fmt: skip


def test_without_a_key_in_force_nothing_is_answered(service: Running):
    right = service.key("match")
    wrong = right[:-1] + ("0" if right[-1] != "0" else "1")
    for key in (None, "x", "", wrong, f"amparo_{'0' * 12}_{'0' * 64}", right.upper(), right + "0"):
        for answer in (
            service.ask(key, {"md5": digest("md5", 3)}),
            service.get("/metrics", key),
            service.get("/x", key),
        ):
            assert answer.status_code == 401 and answer.json()["code"] == "no_key"
            assert answer.headers["www-authenticate"] == "Bearer" and "match" not in answer.text
    assert service.ask(right, {"md5": digest("md5", 3)}).status_code == 200
