"""Asks a time-stamp server (RFC 3161) to date a digest. The only place that touches the network, and only on request:
the part of Amparo that handles evidence never imports it, the command passes it in. Only a digest leaves the machine."""

from __future__ import annotations

import secrets
import time
import urllib.error
import urllib.request
from http.client import HTTPException
from urllib.parse import urlsplit

import rfc3161_client

from amparo.errors import UsedWrongly

LARGEST = 1 << 20  # bytes of an answer; a token with its certificates has a few thousand
SECONDS = 30.0
_GO_ON = "run the same command with --resume, or leave --timestamp out"
_SHA256 = bytes.fromhex("300d06096086480165030402010500")  # AlgorithmIdentifier {sha256, NULL}


def timestamp(url: str, digest: bytes, seconds: float = SECONDS) -> bytes:
    """The time-stamp token (DER) of the server at ``url`` over ``digest`` (SHA-256, 32 bytes).

    The answer is over this digest and this request's nonce, or it is refused. Raises UsedWrongly, saying how to go on,
    where the address is none, or the server does not answer within ``seconds``, refuses, or answers something else.
    """
    server = _server(url)
    nonce = secrets.randbits(62) | 1 << 62  # eight bytes, positive, in their shortest spelling as DER asks
    answer = _asked(url, server, _request(digest, nonce), seconds)
    try:
        response = rfc3161_client.decode_timestamp_response(answer)
        status = response.status
        if status not in (0, 1):
            raise UsedWrongly(f"The time-stamp server {server} refused (status {status}); {_GO_ON}.")
        info = response.tst_info
        same = info.nonce == nonce and bytes(info.message_imprint.message) == digest
        token = bytes(response.time_stamp_token())
    except UsedWrongly:
        raise
    except Exception as error:  # the parser is a foreign library and the bytes are a stranger's
        raise UsedWrongly(f"The answer of the time-stamp server {server} is not a time-stamp; {_GO_ON}.") from error
    if not same:
        raise UsedWrongly(f"The time-stamp server {server} answered to another request; {_GO_ON}.")
    return token


def _server(url: str) -> str:
    """The host that an address names: what messages say, since an address may carry a password."""
    try:
        parts = urlsplit(url)
        host = parts.hostname if parts.scheme.lower() in ("http", "https") else None
    except ValueError:
        host = None
    if not host:
        raise UsedWrongly("--timestamp takes the http or https address of an RFC 3161 server.")
    return host


def _request(digest: bytes, nonce: int) -> bytes:
    """TimeStampReq (RFC 3161, 2.4.1) in DER. The library's own builder digests what it is given, and here is a digest."""
    imprint = _der(0x30, _SHA256 + _der(0x04, digest))
    return _der(0x30, b"\x02\x01\x01" + imprint + _der(0x02, nonce.to_bytes(8, "big")) + b"\x01\x01\xff")


def _der(tag: int, body: bytes) -> bytes:
    assert len(body) < 128
    return bytes([tag, len(body)]) + body


def _asked(url: str, server: str, request: bytes, seconds: float) -> bytes:
    opener = urllib.request.OpenerDirector()  # HTTP alone: no redirection to a file, no FTP
    for handler in (
        urllib.request.ProxyHandler, urllib.request.HTTPHandler, urllib.request.HTTPSHandler,
        urllib.request.HTTPRedirectHandler, urllib.request.HTTPErrorProcessor, urllib.request.HTTPDefaultErrorHandler,
    ):  # fmt: skip
        opener.add_handler(handler())
    headers = {"Content-Type": "application/timestamp-query", "Accept": "application/timestamp-reply"}
    until = time.monotonic() + seconds
    try:
        with opener.open(urllib.request.Request(url, request, headers), timeout=seconds) as answer:  # noqa: S310
            body = b""
            while len(body) <= LARGEST and (piece := answer.read1(1 << 16)):
                body += piece
                if time.monotonic() > until:
                    raise TimeoutError("it answers too slowly")
    except (OSError, HTTPException, ValueError) as error:
        why = getattr(error, "reason", None) or error
        raise UsedWrongly(f"The time-stamp server {server} did not answer ({why}); {_GO_ON}.") from error
    if len(body) > LARGEST:
        raise UsedWrongly(f"The answer of the time-stamp server {server} is too large; {_GO_ON}.")
    return body
