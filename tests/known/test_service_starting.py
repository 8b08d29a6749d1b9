"""The match service is started safely or not at all; its keys are made, listed and revoked from the command line."""

from __future__ import annotations

import json
import ssl
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import httpx
import pytest

from amparo import clock
from amparo.errors import UsedWrongly
from amparo.known.service import serving
from amparo.known.service.keys import KeyFile
from amparo.known.service.settings import Settings
from tests.known.service_running import Running, amparo, digest, running

pytest.importorskip("fastapi")

KNOWN = {"md5": digest("md5", 3)}


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    with running(tmp_path_factory.mktemp("starting"), "--workers", "1", "--decoders", "1") as service:
        yield service


def test_it_is_not_started_where_it_could_not_serve_safely(service: Running, tmp_path: Path):
    def serve(*options: str, index: Path = service.index, keys: Path = service.keys) -> tuple[int, str]:
        given = ("--index", str(index), "--keys", str(keys), "--audit", str(tmp_path / "audit.jsonl"), "--port", "0")
        done = amparo("provider", "serve", *given, *options)
        return done.returncode, done.stderr

    assert serve("--host", "0.0.0.0")[0] == 2 and "would travel in clear" in serve("--host", "::")[1]
    assert "both a certificate and its key" in serve("--tls-key", str(service.keys))[1]
    assert "give PEM files" in serve("--tls-key", str(service.keys), "--tls-certificate", str(service.keys))[1]
    assert "build one with amparo known import" in serve(index=tmp_path)[1]
    assert "make one with amparo provider key make" in serve(keys=tmp_path / "none.json")[1]
    assert "cannot listen on 127.0.0.1" in serve("--port", str(service.port))[1]
    assert "cannot be written" in serve("--audit", str(tmp_path))[1]
    (tmp_path / "open.json").write_bytes(service.keys.read_bytes())
    (tmp_path / "open.json").chmod(0o644)
    assert "chmod 600" in serve(keys=tmp_path / "open.json")[1]


def test_without_its_packages_it_says_what_to_install(service: Running, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(serving, "find_spec", lambda name: None)
    with pytest.raises(UsedWrongly, match=r"pip install 'amparo\[provider\]'"):
        serving.serve(Settings(service.index, service.keys, service.audit_file), print)


def test_keys_are_made_listed_and_never_shown_again(tmp_path: Path):
    file = tmp_path / "folder" / "keys.json"
    made = amparo(
        "provider", "key", "make", "One", "--scope", "match", "--list", "a.csv", "--days", "3", "--keys", str(file)
    )
    key = made.stdout.strip()
    secret = key.split("_")[2]
    assert made.returncode == 0 and len(secret) == 64 and secret not in made.stderr
    assert file.stat().st_mode & 0o777 == 0o600 and secret not in file.read_text()
    listed = amparo("provider", "key", "list", "--keys", str(file), "--json").stdout
    assert json.loads(listed)["lists"] == ["a.csv"] and secret not in listed and "hash" not in listed
    assert "in force" in amparo("provider", "key", "list", "--keys", str(file)).stdout
    assert KeyFile(file).revoke(key.split("_")[1], clock.now()).revoked
    assert "revoked on" in amparo("provider", "key", "list", "--keys", str(file)).stdout
    for wrong in (
        ["--scope", "match"],
        ["--scope", "all", "--every-list"],
        ["--every-list"],
        ["--scope", "match", "--list", "a", "--every-list"],
    ):
        assert amparo("provider", "key", "make", "Two", *wrong, "--keys", str(file)).returncode == 2
    assert amparo("provider", "key", "revoke", "0" * 12, "--keys", str(file)).returncode == 2
    assert len(KeyFile(file).keys()) == 1


def test_it_speaks_tls_with_the_certificate_that_it_is_given(tmp_path: Path):
    certificate, key = self_signed(tmp_path)
    with running(
        tmp_path / "s", "--workers", "1", "--tls-certificate", str(certificate), "--tls-key", str(key)
    ) as service:
        trusting = ssl.create_default_context(cafile=str(certificate))
        headers = {"Authorization": f"Bearer {service.key('match')}"}
        answer = httpx.post(f"{service.url}/v1/match", json={"items": [KNOWN]}, headers=headers, verify=trusting)
        assert service.url.startswith("https://") and answer.json()["results"] == [{"match": True}]
        with pytest.raises(httpx.TransportError):
            httpx.get(service.url.replace("https", "http") + "/health/live")


def self_signed(folder: Path) -> tuple[Path, Path]:
    import ipaddress

    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec

    key, name = (
        ec.generate_private_key(ec.SECP256R1()),
        x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "test")]),
    )
    names = x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))])
    day = timedelta(days=1)
    builder = x509.CertificateBuilder(name, name, key.public_key(), 7, clock.now() - day, clock.now() + day)
    made = builder.add_extension(names, critical=False).sign(key, hashes.SHA256())
    (folder / "c.pem").write_bytes(made.public_bytes(serialization.Encoding.PEM))
    clear = serialization.NoEncryption()
    (folder / "k.pem").write_bytes(
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, clear)
    )
    return folder / "c.pem", folder / "k.pem"
