"""Buckets as stores, on a real server on this machine; and one that answers with every error that a real one has."""

from __future__ import annotations

import io
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from amparo.errors import ReadFailed, SourceUnreadable, UsedWrongly
from amparo.known.bulk import bucket
from amparo.known.bulk.bucket import Remote
from amparo.known.bulk.stores import open_stores
from tests.known.bulk_specimens import content, index_of, listed, match, picture

boto3 = pytest.importorskip("boto3")
moto = pytest.importorskip("moto.server")


@pytest.fixture(autouse=True)
def _own_credentials(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name, value in {
        "AWS_ACCESS_KEY_ID": "test", "AWS_SECRET_ACCESS_KEY": "test", "AWS_DEFAULT_REGION": "us-east-1",
        "AWS_CONFIG_FILE": str(tmp_path / "none"), "AWS_SHARED_CREDENTIALS_FILE": str(tmp_path / "none"),
        "AWS_EC2_METADATA_DISABLED": "true",
    }.items():  # fmt: skip
        monkeypatch.setenv(name, value)
    bucket._client.cache_clear()


@pytest.fixture(scope="module")
def server() -> Iterator[str]:
    running = moto.ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    running.start()
    host, port = running.get_host_and_port()
    yield f"http://{host}:{port}"
    running.stop()


@pytest.fixture
def store(server: str, request: pytest.FixtureRequest) -> Any:
    client = boto3.client("s3", endpoint_url=server)
    name = f"bucket{abs(hash(request.node.name)) % 10**9}"
    client.create_bucket(Bucket=name)

    def put(**objects: bytes) -> str:
        for key, data in objects.items():
            client.put_object(Bucket=name, Key=key, Body=data)
        return f"s3://{name}/"

    return put


def test_every_object_comes_once_past_the_first_page_and_no_folder_mark(
    server: str, store: Any, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(bucket, "_PAGE", 10)
    url = store(**{f"n/{number:04}": b"%d" % number for number in range(45)}, **{"n/": b"", "odd é %20+&?#": b"odd"})
    things, _ = listed(url, server)
    names = [thing.name for thing in things]
    assert len(names) == len(set(names)) == 46 and f"{url}odd é %20+&?#" in names
    assert content(things[7]) == b"7" and content(things[names.index(f"{url}odd é %20+&?#")]) == b"odd"


def test_pictures_in_a_bucket_are_found_below_the_prefix_only(server: str, store: Any, tmp_path: Path):
    seen = picture(1)
    url = store(
        **{"in/a.jpg": seen, "in/b.png": picture(1, "PNG", 150, 120), "in/c.jpg": picture(2), "out/d.jpg": seen}
    )
    answers, troubles = match([f"{url}in/"], index_of(tmp_path, looks=[seen]), endpoint=server)
    assert {name.removeprefix(url): [hit.entry for hit in answer.hits] for name, answer in answers.items()} == {
        "in/a.jpg": ["looks0"], "in/b.png": ["looks0"], "in/c.jpg": [],
    }  # fmt: skip
    assert not troubles and all(answer.problem is None for answer in answers.values())


def test_a_prefix_within_another_is_met_once(server: str):
    typed = ["s3://bucket/a/b", "s3://bucket/a", "s3://bucket2/a"]
    assert [store.whole for store in open_stores(typed, server)] == [
        f"{server} s3://bucket/a",
        f"{server} s3://bucket2/a",
    ]


def test_an_object_is_read_from_any_place_as_a_film_needs_it(server: str, store: Any):
    data = bytes(range(256)) * 20_000
    url = store(film=data)
    place = listed(f"{url}film", server)[0][0].place
    with place.open() as stream:
        assert stream.read(10) == data[:10]
        for at in (4_000_000, 5, len(data) - 3, len(data), len(data) + 5):
            stream.seek(at)
            assert stream.read(7) == data[at : at + 7]
        stream.seek(-4, io.SEEK_END)
        assert stream.read() == data[-4:]


def test_an_empty_object_and_one_that_is_gone(server: str, store: Any, tmp_path: Path):
    url = store(empty=b"", full=b"x")
    assert content(listed(f"{url}empty", server)[0][0]) == b""
    gone = Remote(url[5:-1], "gone", 4, server)
    with pytest.raises(ReadFailed, match="It cannot be read: it is no longer there"):
        gone.open()


def test_an_object_that_was_changed_while_it_was_read_is_told(server: str, store: Any):
    url = store(changing=b"a" * 3_000_000)
    with listed(f"{url}changing", server)[0][0].place.open() as stream:
        stream.read(10)
        store(changing=b"b" * 3_000_000)
        stream.seek(2_000_000)
        with pytest.raises(ReadFailed, match="it was changed while it was read"):
            stream.read(10)


def test_a_bucket_that_is_not_there_or_no_bucket_is_refused(server: str):
    with pytest.raises(SourceUnreadable, match="The bucket nowhere cannot be read: there is no such bucket"):
        listed("s3://nowhere/x", server)
    for url in ("s3://", "s3:///key", "s3://a b/", "s3://../x"):
        with pytest.raises(UsedWrongly, match="names no bucket"):
            open_stores([url], server)
    for address in ("ftp://x", "localhost:9000", "http://"):
        with pytest.raises(UsedWrongly, match="no address of a server"):
            open_stores(["s3://bucket/"], address)


def test_a_server_that_nobody_answers_at_is_told_with_what_to_do(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("time.sleep", lambda seconds: None)  # between the attempts
    with pytest.raises(SourceUnreadable, match=r"cannot be reached \(EndpointConnectionError\): check the address"):
        listed("s3://bucket/", "http://127.0.0.1:1")


def test_without_credentials_one_is_told_what_to_set(server: str, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.delenv("AWS_ACCESS_KEY_ID")
    monkeypatch.delenv("AWS_SECRET_ACCESS_KEY")
    with pytest.raises(SourceUnreadable, match="without credentials: set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY"):
        listed("s3://bucket/", server)


class _Refusing(BaseHTTPRequestHandler):
    """Answers a listing with one object, and whatever else is asked with an error; its path's first part names which."""

    def do_GET(self) -> None:
        kind = self.path.split("/")[1].split("?")[0]
        if kind.startswith("only") and "list-type" in self.path:
            body = b"<ListBucketResult><Contents><Key>k</Key><Size>5</Size></Contents></ListBucketResult>"
            self._answer(200, body)
        elif kind in (
            "onlycut",
            "onlyweak",
        ):  # the one knows nothing of parts, the other's connection breaks every time
            again = kind == "onlyweak" and "Range" in self.headers
            self.send_response(206 if again else 200)
            if again:
                self.send_header("Content-Range", "bytes 3-4/5")
            self.send_header("Content-Length", "2" if again else "5")
            self.end_headers()
            self.wfile.write(b"" if again else b"abc")
        else:
            code = kind.removeprefix("only").partition(".")[2] or kind
            code = {"denied": "AccessDenied", "hostile": "<b>\x1b[2J</b>", "key": "InvalidAccessKeyId"}.get(code, code)
            code = code.replace("<", "&lt;").replace("\x1b", "?")
            self._answer(403, f"<Error><Code>{code}</Code><Message>m</Message></Error>".encode())

    def _answer(self, status: int, body: bytes) -> None:
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: Any) -> None:
        pass


@pytest.fixture(scope="module")
def refusing() -> Iterator[str]:
    running = ThreadingHTTPServer(("127.0.0.1", 0), _Refusing)
    threading.Thread(target=running.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{running.server_port}"
    running.shutdown()


@pytest.mark.parametrize(
    ("name", "why"),
    [
        ("denied", "The bucket denied cannot be listed: access is denied."),
        ("key", "The bucket key cannot be read: the access key is not known there."),
        ("hostile", "The bucket hostile cannot be listed: the server answered an error without a name."),
    ],
)
def test_what_a_server_refuses_is_one_sentence_in_our_words(refusing: str, name: str, why: str):
    with pytest.raises(SourceUnreadable) as told:
        listed(f"s3://{name}/", refusing)
    assert str(told.value) == why


def test_one_object_that_is_denied_or_cut_off_costs_only_itself(refusing: str, tmp_path: Path):
    index = index_of(tmp_path, exact=[b"x"])
    for name, why in (
        ("only.denied", "access is denied"),
        ("onlycut", "The server does not give a part of it"),
        ("onlyweak", "The connection broke while it was read"),
    ):
        answers, _ = match([f"s3://{name}/"], index, endpoint=refusing)
        (answer,) = answers.values()
        assert answer.problem is not None and why in answer.problem and answer.sha256 is None


def test_credentials_that_run_out_on_the_way_stop_the_run(refusing: str, tmp_path: Path):
    with pytest.raises(SourceUnreadable, match="the access key is not known there"):
        match(["s3://only.key/"], index_of(tmp_path, exact=[b"x"]), endpoint=refusing)
