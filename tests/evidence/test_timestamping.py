"""Time-stamps: a real authority on loopback, and servers that lie, dawdle or refuse."""

from __future__ import annotations

import hashlib
import random
import subprocess
import sys
import time
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler
from pathlib import Path

import pytest
from cryptography.hazmat.primitives import serialization

from amparo import cli, timestamping
from amparo.errors import UsedWrongly
from amparo.evidence import package, seal
from tests.evidence.authority import Authority, send, serving
from tests.evidence.sealed import KEY, NOON, begin, fill, first_wrong, holds, sealed

DIGEST = hashlib.sha256(b"what is dated").digest()
Answer = Callable[[BaseHTTPRequestHandler, bytes], None]


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("authority"))


def stamp(authority: Authority, digest: bytes = DIGEST) -> bytes:
    with serving(lambda handler, query: send(handler, authority.answer(query))) as url:
        return timestamping.timestamp(url, digest)


def test_a_token_is_over_the_digest_and_says_when(authority: Authority):
    finding = seal.check_token(stamp(authority), DIGEST)
    assert finding.ok and "not checked" in finding.what
    assert time.strftime("%Y-%m-%d", time.gmtime()) in finding.what


def test_a_token_by_a_trusted_authority_is_told_from_one_by_another(authority: Authority, tmp_path: Path):
    token = stamp(authority)
    assert seal.check_token(token, DIGEST, [authority.root]).what.startswith("A time-stamp by a trusted authority")
    assert not seal.check_token(token, DIGEST, [Authority(tmp_path).root]).ok


def test_openssl_verifies_the_same_token(authority: Authority, tmp_path: Path):
    (tmp_path / "data").write_bytes(b"what is dated")
    (tmp_path / "token").write_bytes(stamp(authority))
    command = [
        "openssl",
        "ts",
        "-verify",
        "-token_in",
        "-in",
        "token",
        "-data",
        "data",
        "-CAfile",
        str(authority.folder / "root.pem"),
    ]
    assert b"Verification: OK" in subprocess.run(command, cwd=tmp_path, capture_output=True).stdout


def test_a_token_over_something_else_is_refused(authority: Authority):
    finding = seal.check_token(stamp(authority), hashlib.sha256(b"something else").digest())
    assert not finding.ok and "not over this package" in finding.what


def test_a_changed_token_is_refused_or_states_the_same(authority: Authority):
    """CMS leaves some bytes of a token unsigned; the package's own seal covers those."""
    token, dice = stamp(authority), random.Random(3)
    as_it_was = seal.check_token(token, DIGEST, [authority.root])
    for _ in range(400):
        changed = bytearray(token)
        changed[dice.randrange(len(token))] ^= 1 << dice.randrange(8)
        finding = seal.check_token(bytes(changed), DIGEST, [authority.root])
        assert not finding.ok or finding == as_it_was


@pytest.mark.parametrize("token", [b"", b"\x30", b"\x30\x84\xff\xff\xff\xff", b"\x00" * 5000, b"\x30\x80" * 3000])
def test_what_is_no_token_is_a_finding_and_no_error(token: bytes):
    assert not seal.check_token(token, DIGEST).ok


def test_a_package_is_dated_and_verified_with_its_time_stamp(authority: Authority, tmp_path: Path):
    root = sealed(tmp_path / "package", timestamp=lambda digest: stamp(authority, digest))
    assert holds(root)
    assert "time-stamp states that the seal existed" in package.verify(root)[-1].what
    assert all(finding.ok for finding in package.verify(root, roots=[authority.root]))


def test_whoever_trusts_an_authority_has_its_signature_checked(
    authority: Authority, tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    root = sealed(tmp_path / "package", timestamp=lambda digest: stamp(authority, digest))
    other = tmp_path / "other"
    other.mkdir()
    stranger = Authority(other)
    assert cli.main(["verify", str(root), "--authority", str(authority.folder / "root.pem")]) == 0
    assert "by a trusted authority" in capsys.readouterr().out
    assert cli.main(["verify", str(root), "--authority", str(stranger.folder / "root.pem")]) == 1
    assert "not signed by an authority that was given" in capsys.readouterr().out
    der = tmp_path / "root.der"
    der.write_bytes(authority.root.public_bytes(serialization.Encoding.DER))
    assert seal.read_roots([der, authority.folder / "root.pem"]) == [authority.root, authority.root]


@pytest.mark.parametrize(
    "content", [b"", b"not a certificate", b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"]
)
def test_what_is_no_certificate_is_refused(content: bytes, tmp_path: Path):
    file = tmp_path / "root.pem"
    file.write_bytes(content)
    with pytest.raises(UsedWrongly, match="root certificate"):
        seal.read_roots([file])
    with pytest.raises(UsedWrongly, match="root certificate"):
        seal.read_roots([tmp_path / "absent.pem"])


def test_a_time_stamp_taken_from_another_package_is_found(authority: Authority, tmp_path: Path):
    root = sealed(tmp_path / "package", timestamp=lambda digest: stamp(authority))
    assert "not over this package" in first_wrong(root)


def test_a_server_that_fails_leaves_a_package_that_can_be_finished(authority: Authority, tmp_path: Path):
    writer = begin(tmp_path / "package")
    fill(writer)
    with serving(lambda handler, query: send(handler, b"", 503)) as url, pytest.raises(UsedWrongly, match="--resume"):
        writer.finish(KEY, NOON, timestamp=lambda digest: timestamping.timestamp(url, digest))
    assert "never finished" in first_wrong(tmp_path / "package")
    writer.close()
    begin(tmp_path / "package", resume=True).finish(KEY, NOON)
    assert holds(tmp_path / "package")
    assert b'"act":"sealed"' in (tmp_path / "package" / "custody.jsonl").read_bytes().splitlines()[-1]


def refused_by(answer: Answer, seconds: float = 10.0) -> str:
    with serving(answer) as url, pytest.raises(UsedWrongly) as raised:
        timestamping.timestamp(url, DIGEST, seconds=seconds)
    return str(raised.value)


def test_an_answer_to_another_request_is_refused(authority: Authority):
    old: list[bytes] = []

    def replay(handler: BaseHTTPRequestHandler, query: bytes) -> None:
        old.append(authority.answer(query))
        send(handler, old[0])

    with serving(replay) as url:
        timestamping.timestamp(url, DIGEST)
        with pytest.raises(UsedWrongly, match="another request"):
            timestamping.timestamp(url, DIGEST)


def test_a_server_that_refuses_or_talks_nonsense_is_named(authority: Authority):
    rejection = authority.answer(b"no query")
    assert "is not a time-stamp" in refused_by(lambda handler, query: send(handler, b"<html>Welcome</html>"))
    assert "refused" in refused_by(lambda handler, query: send(handler, rejection))
    assert "did not answer" in refused_by(lambda handler, query: send(handler, b"no", 500))


def test_an_answer_without_end_is_cut():
    def flood(handler: BaseHTTPRequestHandler, query: bytes) -> None:
        handler.send_response(200)
        handler.end_headers()
        try:
            for _ in range(64):
                handler.wfile.write(bytes(1 << 20))
        except OSError:
            pass

    assert "too large" in refused_by(flood)


def test_a_server_that_dawdles_is_given_up():
    def drip(handler: BaseHTTPRequestHandler, query: bytes) -> None:
        handler.send_response(200)
        handler.end_headers()
        try:
            for _ in range(100):
                handler.wfile.write(b"x")
                time.sleep(0.05)
        except OSError:
            pass

    begun = time.monotonic()
    assert "did not answer" in refused_by(drip, seconds=0.5)
    assert "did not answer" in refused_by(lambda handler, query: time.sleep(2), seconds=0.3)
    assert time.monotonic() - begun < 4


def test_a_redirection_to_a_file_is_not_followed(tmp_path: Path):
    (tmp_path / "secret").write_text("secret")

    def elsewhere(handler: BaseHTTPRequestHandler, query: bytes) -> None:
        handler.send_response(302)
        handler.send_header("Location", f"file://{tmp_path}/secret")
        handler.end_headers()

    assert "did not answer" in refused_by(elsewhere)


@pytest.mark.parametrize(
    "url", ["", "file:///etc/passwd", "ftp://host/", "tsa.example", "http://", "http://[", "https:///x"]
)
def test_an_address_that_is_none_is_refused_before_anything_is_sent(url: str):
    with pytest.raises(UsedWrongly, match="http or https"):
        timestamping.timestamp(url, DIGEST)


def test_a_password_in_the_address_is_not_repeated():
    with pytest.raises(UsedWrongly) as raised:
        timestamping.timestamp("http://ana:secreto@127.0.0.1:1/", DIGEST, seconds=1)
    assert "secreto" not in str(raised.value)


def test_the_evidence_part_never_loads_the_part_that_touches_the_network():
    code = (
        "import sys, amparo.evidence.package, amparo.evidence.gathering;"
        "print([m for m in ('amparo.timestamping', 'http.client', 'urllib.request', 'django') if m in sys.modules])"
    )
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True).stdout.strip() == "[]"
