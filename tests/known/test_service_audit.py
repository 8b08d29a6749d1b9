"""The audit has a line for each match, and nothing that the service writes has more than it must."""

from __future__ import annotations

import io
import json
import os
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path

import pytest
from PIL import Image

from tests.known.service_running import Running, digest, fingerprint, running

pytest.importorskip("fastapi")

KNOWN = {"md5": digest("md5", 3)}


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    with running(tmp_path_factory.mktemp("audit"), "--workers", "2", "--decoders", "1") as service:
        yield service


def lines_of(service: Running, request: str) -> list[dict[str, object]]:
    return [line for line in service.audit() if line["request"] == request]


def test_each_match_has_its_line_whatever_the_key_was_told(service: Running):
    asked = [{"sha1": digest("sha1", 250)}, {"md5": digest("md5", 9999)}, {"pdq": fingerprint(5, 4)}]
    for scopes in (("match",), ("match:list", "match:entry")):
        key = service.key(*scopes)
        answer = service.ask(key, *asked)
        found = lines_of(service, answer.json()["request"])
        common = {"request": answer.json()["request"], "key": key.split("_")[1], "index": found[0]["index"]}
        digests = {"time": "", **common, "item": 0, "kind": "digest", "category": "1", "method": "sha1", "distance": 0}
        alike = {
            "time": "",
            **common,
            "item": 2,
            "kind": "fingerprint",
            "category": "2",
            "method": "pdq",
            "distance": 4,
        }
        assert [{**line, "time": ""} for line in found] == [
            {**digests, "list": "a.csv", "entry": "a-250"},
            {**digests, "list": "b.csv", "entry": "b-250"},
            {**alike, "list": "a.csv", "entry": "a-5"},
        ]
        assert all(str(line["time"]).endswith("Z") and datetime.fromisoformat(str(line["time"])) for line in found)


def test_what_is_not_known_leaves_no_line(service: Running):
    before = len(service.audit())
    service.ask(service.key("match"), {"md5": digest("md5", 9999)}, {"pdq": fingerprint(9999)})
    service.ask(None, KNOWN)
    assert len(service.audit()) == before


def test_lines_of_many_at_once_are_whole_and_none_is_missing(service: Running):
    from concurrent.futures import ThreadPoolExecutor

    key = service.key("match")
    with ThreadPoolExecutor(8) as pool:
        answers = list(
            pool.map(lambda n: service.ask(key, *[{"md5": digest("md5", m)} for m in range(n)]), range(1, 60))
        )
    counts: dict[str, int] = {}
    for line in service.audit():
        counts[line["request"]] = counts.get(line["request"], 0) + 1
    assert [counts[answer.json()["request"]] for answer in answers] == list(range(1, 60))


def test_the_audit_is_private_and_begun_anew_where_it_was_moved_away(service: Running):
    service.ask(service.key("match"), KNOWN)
    assert service.audit_file.stat().st_mode & 0o777 == 0o600
    service.audit_file.rename(service.folder / "audit.1")
    answer = service.ask(service.key("match"), KNOWN)
    assert lines_of(service, answer.json()["request"])


def test_what_cannot_be_audited_is_not_answered(service: Running):
    moved = service.folder / "audit.2"
    service.audit_file.rename(moved)
    service.audit_file.mkdir()
    try:
        answer = service.ask(service.key("match"), KNOWN)
        assert (answer.status_code, answer.json()["code"]) == (503, "no_audit") and 'match"' not in answer.text
        assert service.ask(service.key("match"), {"md5": digest("md5", 9999)}).status_code == 200, "nothing to audit"
    finally:
        service.audit_file.rmdir()
        moved.rename(service.audit_file)
    assert service.ask(service.key("match"), KNOWN).status_code == 200


def test_a_disk_that_is_full_leaves_no_line_that_is_half_written(tmp_path: Path):
    import resource

    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1 << 20, before[1]))
    try:
        with running(tmp_path, "--workers", "1") as service:
            os.truncate(service.audit_file, 0)
            service.audit_file.write_text("x" * ((1 << 20) - 700) + "\n")
            key = service.key("match")
            statuses = [service.ask(key, KNOWN).status_code for _ in range(6)]
            assert statuses[0] == 200 and statuses[-1] == 503
            lines = service.audit_file.read_text().split("\n")
            assert (
                lines[-1] == ""
                and all(json.loads(line) for line in lines[1:-1])
                and len(lines) - 2 == statuses.count(200)
            )
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


def test_what_was_asked_for_is_kept_only_where_the_operator_says_so(tmp_path: Path):
    asked = [{"sha256": digest("sha256", 7), "md5": digest("md5", 7)}, {"pdq": fingerprint(5, 4)}]
    for options in ((), ("--audit-asked",)):
        with running(tmp_path / str(len(options)), "--workers", "1", *options) as service:
            found = lines_of(service, service.ask(service.key("match"), *asked).json()["request"])
            kept = [f"sha256:{digest('sha256', 7)}", f"pdq:{fingerprint(5, 4)}"]
            assert [line.get("asked") for line in found] == (kept if options else [None, None])


def test_nothing_that_is_written_holds_a_key_or_what_was_asked(service: Running):
    key = service.key("match", "metrics")
    secret, asked = key.split("_")[2], digest("sha256", 6)
    picture = io.BytesIO()
    Image.effect_noise((300, 300), 90).save(picture, "JPEG", comment=b"MARK-OF-THIS-PICTURE")
    service.ask(key, {"sha256": asked}, {"pdq": fingerprint(6)})
    service.post("/v1/match", key, content=f'{{"items": [{{"sha256": "{asked}", "x": "{secret}"}}]}}'.encode())
    service.post(f"/v1/match?{secret}", key, content=b"{")
    service.get(f"/{secret}", key)
    service.post("/v1/match/picture", key, content=picture.getvalue())
    service.post("/v1/match/picture", key, content=picture.getvalue()[:900])
    service.post("/v1/match/pictures", key, files={"a": ("MARK-OF-ITS-NAME.jpg", picture.getvalue())})
    written = [
        path
        for path in service.folder.rglob("*")
        if path.is_file() and path.suffix != ".csv" and "index" not in path.parts
    ]
    assert {path.name for path in written} >= {"audit.jsonl", "log.txt", "keys.json", "keys.json.quotas"}
    metrics = service.get("/metrics", key).content
    for text in [metrics, *(path.read_bytes() for path in written)]:
        for hidden in (secret, asked, fingerprint(6), "MARK-OF"):
            assert hidden.encode() not in text
    assert service.log.read_text().count("\n") == 1, "the address, and no more"
