"""What an answer says: as much as the key's scopes and lists allow, in its words, its order and its length."""

from __future__ import annotations

import itertools
import json
import statistics
import time
from collections.abc import Iterator

import httpx
import pytest

from amparo.known.library import Library
from tests.known import specimens
from tests.known.service_running import Running, digest, fingerprint, running, until, write_list

pytest.importorskip("fastapi")

PARTS = ("list", "category", "entry", "how")
FIELDS = {"list": {"list"}, "category": {"category"}, "entry": {"entry"}, "how": {"method", "distance"}}
ASKED = [{"sha1": digest("sha1", 250)}, {"pdq": fingerprint(250, 5)}, {"md5": digest("md5", 9999)}]


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    with running(tmp_path_factory.mktemp("scopes"), "--workers", "1", "--decoders", "1") as service:
        yield service


@pytest.mark.parametrize("scopes", [some for size in range(1, 5) for some in itertools.combinations(PARTS, size)])
def test_a_hit_has_the_fields_that_the_scopes_name_and_no_others(service: Running, scopes: tuple[str, ...]):
    answer = service.ask(service.key(*(f"match:{scope}" for scope in scopes)), *ASKED)
    results = answer.json()["results"]
    assert [result["match"] for result in results] == [True, True, False]
    for hit in itertools.chain.from_iterable(result["hits"] for result in results):
        assert set(hit) == set().union(*(FIELDS[scope] for scope in scopes))
    hidden = {"list": ".csv", "entry": "-250", "category": "category", "how": "distance"}
    assert not [scope for scope, text in hidden.items() if scope not in scopes and text in answer.text]


def test_with_the_scope_match_alone_nothing_is_said_but_whether(service: Running):
    answer = service.ask(service.key("match"), *ASKED)
    assert answer.json()["results"] == [{"match": True}, {"match": True}, {"match": False}]
    assert set(answer.json()) == {"request", "results"}


def test_hits_that_look_the_same_to_a_key_are_told_once(service: Running):
    [result] = service.ask(service.key("match:category"), {"md5": digest("md5", 250)}).json()["results"]
    assert result["hits"] == [{"category": "1"}], "both lists know it"


def test_without_the_scope_how_the_order_does_not_tell_which_is_nearer(service: Running):
    items = [{"pdq": fingerprint(n, 3), "md5": digest("md5", m)} for n, m in ((299, 1), (1, 299), (250, 250))]
    for result in service.ask(service.key("match:entry", "match:list"), *items).json()["results"]:
        assert result["hits"] == sorted(result["hits"], key=json.dumps)


def test_a_key_is_answered_from_its_own_lists_only(service: Running):
    only_b = service.key("match:list", "match:entry", lists=("b.csv",))
    results = service.ask(
        only_b, {"md5": digest("md5", 5)}, {"md5": digest("md5", 250)}, {"pdq": fingerprint(5)}
    ).json()["results"]
    assert results == [
        {"match": False, "hits": []}, {"match": True, "hits": [{"list": "b.csv", "entry": "b-250"}]}, {"match": False, "hits": []},
    ]  # fmt: skip
    nobody = service.key("match:list", lists=("none.csv",))
    assert service.ask(nobody, *ASKED).json()["results"] == [{"match": False, "hits": []}] * 3


def test_the_length_of_an_answer_does_not_tell_how_many_are_known(service: Running):
    key = service.key("match")
    for count in (1, 7, 60, 64, 900):
        lengths = {
            len(
                service.ask(
                    key, *[{"md5": digest("md5", 3 if place < known else 9999)} for place in range(count)]
                ).content
            )
            for known in (0, 1, count // 2, count)
        }
        assert len(lengths) == 1
    more = service.key("match:list", "match:category", "match:entry", "match:how")
    assert len({len(service.ask(more, item).content) for item in ASKED}) == 1


def test_answers_come_at_times_of_a_grid(service: Running):
    key = service.key("match")

    def seconds(client: httpx.Client, *items: dict[str, str]) -> float:
        began = time.perf_counter()
        headers = {"Authorization": f"Bearer {key}"}
        assert client.post(f"{service.url}/v1/match", headers=headers, json={"items": items}).status_code == 200
        return time.perf_counter() - began

    with httpx.Client() as client:
        known, unknown = [], []
        for _ in range(40):
            known.append(seconds(client, {"md5": digest("md5", 250)}))
            unknown.append(seconds(client, {"md5": digest("md5", 9999)}))
    assert min(*known, *unknown) >= 0.005
    assert abs(statistics.median(known) - statistics.median(unknown)) < 0.008, "no more than one step"


def test_no_route_gives_what_a_list_holds(service: Running):
    everything = service.key("match", "match:list", "match:category", "match:entry", "match:how", "metrics")
    texts = [
        service.get(route, everything).text for route in ("/openapi.json", "/metrics", "/health/ready", "/health/live")
    ]
    texts.append(service.ask(everything, {"pdq": fingerprint(5, 20)}).text)
    for text in texts:
        assert not [n for n in range(0, 500, 7) for kind in ("md5", "sha1", "sha256") if digest(kind, n) in text]
        assert fingerprint(5) not in text
    assert ".csv" not in "".join(texts[:4]), "nor does what counts and describes name a list"


def test_a_film_is_known_by_most_of_its_frames(service: Running):
    frames = [fingerprint(10_000 + n) for n in range(12)]
    path = service.folder / "signals.csv"
    signal = json.dumps([f"{bits},90,{n}.0" for n, bits in enumerate(frames)])
    quoted = signal.replace('"', '""')
    path.write_text(f'signal_type,signal_str,content_id\nvpdq,"{quoted}",film-1\n')
    list(Library(service.index).add([path]))
    key = service.key("match:list", "match:how")

    def asked(*bits: str) -> list[dict[str, object]]:
        return service.ask(key, {"vpdq": [f"{text},90,{n}.0" for n, text in enumerate(bits)]}).json()["results"]

    until(lambda: asked(*frames)[0]["match"])
    assert asked(*frames) == [
        {"match": True, "hits": [{"list": "signals.csv", "method": "vpdq", "distance": 0, "share": [100, 100]}]}
    ]
    others = [fingerprint(20_000 + n) for n in range(12)]
    assert asked(*frames[:6])[0]["match"], "a piece of it"
    assert asked(*frames, *others, *others)[0]["match"], "and it in a longer one"
    assert not asked(*frames[:6], *others)[0]["match"] and not asked(*others)[0]["match"]


def test_what_a_list_of_known_good_files_knows_is_no_match(service: Running):
    path = specimens.write_rds3(service.folder / "nsrl.db", 20)
    list(Library(service.index).add([path, write_list(service.folder / "later.csv", range(7000, 7001))]))
    key = service.key("match:list")
    until(lambda: service.ask(key, {"md5": digest("md5", 7000)}).json()["results"][0]["match"])
    assert service.ask(key, {"md5": specimens.raw("md5", 3).hex()}).json()["results"] == [{"match": False, "hits": []}]
