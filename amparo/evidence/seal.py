"""The seal: an Ed25519 signature (RFC 8032) over the tag manifest, which covers the ledger and every byte of the bag.

``seal.json`` also states how many acts the ledger has and the digest of the last one, when it was sealed, whether the
package is for training, and the RFC 3161 time-stamp where one was asked for; a second signature covers these statements.
Both can be checked with OpenSSL alone, see ``docs``. Signing proves that whoever holds the key saw these bytes; whose key
it is, only a fingerprint handed over by other means can say.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

import amparo
from amparo.clock import iso
from amparo.errors import PackageWrong, UsedWrongly
from amparo.evidence.custody import canonical, is_time
from amparo.evidence.finding import Finding
from amparo.evidence.keys import default_key_path, fingerprint, load_or_create_key, public_bytes

if TYPE_CHECKING:
    from cryptography import x509

__all__ = [
    "Seal", "check_token", "default_key_path", "fingerprint", "from_base64", "load_or_create_key", "public_bytes",
    "sign_statement", "statement_holds", "to_base64",
]  # fmt: skip

LARGEST = 1 << 20  # bytes of a seal; a time-stamp has a few thousand
_KIND = "seal of an Amparo package, version 1"
_FIELDS: dict[str, type | tuple[type, ...]] = {
    "acts": int, "fingerprint": str, "head": str, "kind": str, "public_key": str, "sealed_at": str, "signature": str,
    "statement_signature": str, "tagmanifest_sha256": str, "time_stamp": (str, type(None)), "training": bool,
    "version": str,
}  # fmt: skip


def sign_statement(key: Ed25519PrivateKey, statement: dict[str, Any]) -> dict[str, Any]:
    """``statement`` with ``statement_signature``: base64 of the signature over its canonical JSON."""
    return {**statement, "statement_signature": to_base64(key.sign(canonical(statement)))}


def statement_holds(public: Ed25519PublicKey, statement: dict[str, Any]) -> bool:
    """Whether ``statement_signature`` is that key's over everything else in ``statement``."""
    rest = {name: value for name, value in statement.items() if name != "statement_signature"}
    return _signed(public, statement.get("statement_signature"), canonical(rest))


@dataclass(frozen=True)
class Seal:
    """What ``seal.json`` states. Made by :meth:`make`, or from its bytes by :meth:`read`, which believes nothing."""

    public: Ed25519PublicKey
    values: dict[str, Any]

    @staticmethod
    def make(
        key: Ed25519PrivateKey,
        tagmanifest: bytes,
        *,
        acts: int,
        head: str,
        now: datetime,
        training: bool,
        token: bytes | None,
    ) -> bytes:
        """The bytes of ``seal.json`` over the bytes of the tag manifest. ``acts`` and ``head`` are the ledger's number of
        lines and the digest of the last; ``token`` is an RFC 3161 time-stamp token over the tag manifest's SHA-256."""
        public = key.public_key()
        statement = {
            "kind": _KIND,
            "version": amparo.__version__,
            "sealed_at": iso(now),
            "training": training,
            "acts": acts,
            "head": head,
            "tagmanifest_sha256": hashlib.sha256(tagmanifest).hexdigest(),
            "time_stamp": to_base64(token) if token is not None else None,
            "public_key": to_base64(public_bytes(public)),
            "fingerprint": fingerprint(public),
            "signature": to_base64(key.sign(tagmanifest)),
        }
        return canonical(sign_statement(key, statement)) + b"\n"

    @staticmethod
    def read(raw: bytes) -> Seal:
        """The seal in the bytes of ``seal.json``. Raises PackageWrong where they are none or were changed; that the
        signature is over a given tag manifest, :meth:`covers` says."""
        try:
            values = json.loads(raw.decode("utf-8"))
            if not isinstance(values, dict) or canonical(values) + b"\n" != raw:
                raise ValueError("not in the one spelling")
            if values.keys() != _FIELDS.keys() or values["kind"] != _KIND:
                raise ValueError("not the fields of a seal")
            if (
                any(not isinstance(values[name], kind) for name, kind in _FIELDS.items())
                or type(values["acts"]) is not int
            ):
                raise ValueError("not the values of a seal")
            if not is_time(values["sealed_at"]):  # it is shown to whoever verifies: no sentence may pass for a time
                raise ValueError("not the time of a seal")
            public = Ed25519PublicKey.from_public_bytes(from_base64(values["public_key"]))
        except (ValueError, RecursionError) as error:
            raise PackageWrong("seal.json is not a seal as Amparo writes it: it was changed or damaged.") from error
        if not statement_holds(public, values):
            raise PackageWrong("seal.json was changed after it was written: its signature does not fit what it states.")
        if values["fingerprint"] != fingerprint(public):
            raise PackageWrong("seal.json states a fingerprint that is not its key's.")
        return Seal(public, values)

    def covers(self, tagmanifest: bytes) -> bool:
        """Whether the signature, and the digest that the seal states, are over exactly these bytes."""
        stated = self.values["tagmanifest_sha256"] == hashlib.sha256(tagmanifest).hexdigest()
        return stated and _signed(self.public, self.values["signature"], tagmanifest)

    @property
    def token(self) -> bytes | None:
        """The time-stamp token, DER; None where none was asked for. Raises PackageWrong where it is not base64."""
        text = self.values["time_stamp"]
        try:
            return None if text is None else from_base64(text)
        except ValueError as error:
            raise PackageWrong("The time-stamp in seal.json is not base64.") from error


def check_token(token: bytes, digest: bytes, roots: Sequence[x509.Certificate] = ()) -> Finding:
    """Whether an RFC 3161 token (DER) is over ``digest`` (SHA-256, 32 bytes), and what time it states; never raises.

    With ``roots``, the certificates of the time-stamp authorities that are trusted, the token's signature is checked up
    to one of them. Without, the finding says that this was not done: a token names its own authority, as a seal its key.
    """
    import rfc3161_client  # and all of X.509 with it: only where there is a token

    try:
        answer = rfc3161_client.decode_timestamp_response(_as_response(token))
        info = answer.tst_info
        imprint, stated = bytes(info.message_imprint.message), iso(info.gen_time)
        if imprint != digest or info.message_imprint.hash_algorithm.dotted_string != "2.16.840.1.101.3.4.2.1":
            return Finding(False, "The time-stamp is not over this package's seal: it was taken from elsewhere.")
        if not roots:
            return Finding(
                True,
                f"A time-stamp states that the seal existed at {stated}. Whether a recognised authority signed it was not"
                " checked here: that needs the authority's root certificate.",
            )
        builder = rfc3161_client.VerifierBuilder()
        for root in roots:
            builder = builder.add_root_certificate(root)
        builder.build().verify(answer, digest)
    except rfc3161_client.VerificationError as error:
        return Finding(
            False, f"The time-stamp is not signed by an authority that was given as trusted ({error})."[:300]
        )
    except Exception:  # the parser is a foreign library and the bytes are a stranger's: whatever it raises, it refused
        return Finding(False, "The time-stamp cannot be read: it was changed or damaged.")
    return Finding(True, f"A time-stamp by a trusted authority states that the seal existed at {stated}.")


def read_roots(paths: Sequence[Path]) -> list[x509.Certificate]:
    """The certificates in these files, PEM (one or several) or DER. Raises UsedWrongly where a file holds none."""
    if not paths:
        return []
    from cryptography import x509

    roots: list[x509.Certificate] = []
    for path in paths:
        try:
            raw = path.read_bytes()
            roots += (
                x509.load_pem_x509_certificates(raw) if b"-----BEGIN" in raw else [x509.load_der_x509_certificate(raw)]
            )
        except (OSError, ValueError):
            raise UsedWrongly(
                f"{path} cannot be read as a certificate: give the root certificate that the time-stamp authority publishes."
            ) from None
    return roots


def _as_response(token: bytes) -> bytes:
    """The token as the answer "granted" of a server (RFC 3161, 2.4.2), the form that the library reads."""
    body = bytes.fromhex("3003020100") + token
    size = len(body).to_bytes((len(body).bit_length() + 7) // 8, "big")
    return b"\x30" + (size if len(body) < 128 else bytes([0x80 | len(size)]) + size) + body


def _signed(public: Ed25519PublicKey, signature: object, data: bytes) -> bool:
    try:
        public.verify(from_base64(signature), data)
    except (InvalidSignature, ValueError):
        return False
    return True


def to_base64(raw: bytes) -> str:
    """Base64 with padding, in one line."""
    return base64.b64encode(raw).decode("ascii")


def from_base64(text: object) -> bytes:
    """Base64 in its one spelling; ValueError otherwise."""
    if not isinstance(text, str):
        raise ValueError("not text")
    try:
        raw = base64.b64decode(text.encode("ascii"), validate=True)
    except binascii.Error as error:
        raise ValueError("not base64") from error
    if to_base64(raw) != text:
        raise ValueError("not the one spelling of base64")
    return raw
