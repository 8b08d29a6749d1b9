"""An S3-compatible bucket, listed a page at a time; a worker fetches an object where it is examined.

Whoever may read it is found as boto3 finds it: the environment, or the user's ``~/.aws``. Nothing is ever written to a bucket.
"""

from __future__ import annotations

import io
import os
import re
from collections.abc import Callable, Iterator
from functools import cache
from typing import Any, BinaryIO, Final, NamedTuple, TypeVar, cast

from amparo.errors import AmparoError, ReadFailed, SourceUnreadable, UsedWrongly
from amparo.known.bulk.thing import Thing, Trouble

SCHEME: Final = "s3://"
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{1,254}", re.ASCII)
_BUFFER: Final = 1 << 20
_TRIES: Final = 3  # connections that may break over one object
_PAGE: Final = 1000  # keys listed together: the most that a server gives
_CODE = re.compile(r"[A-Za-z0-9_.]{1,60}", re.ASCII)
# What is wrong with all of the store, not with one object.
_ASTRAY: Final = {
    "NoSuchBucket": "there is no such bucket",
    "InvalidBucketName": "there is no such bucket",
    "PermanentRedirect": "it lies in another region: name it in AWS_DEFAULT_REGION",
    "InvalidAccessKeyId": "the access key is not known there",
    "SignatureDoesNotMatch": "the secret key is not the right one",
    "ExpiredToken": "the credentials have run out",
    "InvalidToken": "the credentials are not valid",
    "RequestTimeTooSkewed": "the clocks here and there differ",
}
T = TypeVar("T")


class Bucket:
    """The objects of a bucket whose key begins with a prefix. Raises UsedWrongly where ``url`` or ``endpoint`` is none."""

    def __init__(self, url: str, endpoint: str | None = None) -> None:
        bucket, _, self._prefix = url.removeprefix(SCHEME).partition("/")
        if not _NAME.fullmatch(bucket):
            raise UsedWrongly(f"{url} names no bucket: it is written s3://bucket/prefix.")
        if endpoint is not None and not re.fullmatch(r"https?://[^\s/]+/?[^\s]*", endpoint):
            raise UsedWrongly(f"{endpoint} is no address of a server: it begins with http:// or https://.")
        self._bucket, self._endpoint = bucket, endpoint

    @property
    def whole(self) -> str:
        """The server's address and its own."""
        return f"{self._endpoint or ''} {SCHEME}{self._bucket}/{self._prefix}"

    def things(self) -> Iterator[Thing | Trouble]:
        """Every object. Raises SourceUnreadable where the bucket cannot be listed, or not to its end."""
        pages = iter(_client(self._endpoint, os.getpid()).get_paginator("list_objects_v2").paginate(
            Bucket=self._bucket, Prefix=self._prefix, PaginationConfig={"PageSize": _PAGE}
        ))  # fmt: skip
        while (page := _asked(lambda: next(pages, None), self._bucket, SourceUnreadable)) is not None:
            for found in page.get("Contents", ()):
                key, size = str(found["Key"]), int(found["Size"])
                if not (key.endswith("/") and not size):  # a folder, as some programs make them
                    name = f"{SCHEME}{self._bucket}/{key}"
                    yield Thing(name, size, Remote(self._bucket, key, size, self._endpoint))


class Remote(NamedTuple):
    """Where an object lies."""

    bucket: str
    key: str
    size: int
    endpoint: str | None

    def open(self) -> BinaryIO:
        """The object. Raises ReadFailed where it cannot be had, UsedWrongly where nothing of the bucket can be any more."""
        content = _Content(self)
        content.begin()
        return io.BufferedReader(content, _BUFFER)

    def discard(self) -> None:
        """Nothing."""


class _Content(io.RawIOBase):
    """An object as a file; it is asked for again from where it stands after a jump, or where the connection broke."""

    def __init__(self, place: Remote) -> None:
        self._place = place
        self._at, self._body, self._tag, self._broke = 0, cast(Any, None), "", 0

    def begin(self) -> None:
        """Ask for it from where the stream stands."""
        place = self._place
        asked = {"Bucket": place.bucket, "Key": place.key}
        if self._tag:
            asked |= {"IfMatch": self._tag}  # what was put there meanwhile is another object
        if self._at:
            asked |= {"Range": f"bytes={self._at}-"}
        client = _client(place.endpoint, os.getpid())
        answer = _asked(lambda: client.get_object(**asked), place.bucket, UsedWrongly)
        if self._at and re.findall(r"\d+", str(answer.get("ContentRange", "")))[:1] != [str(self._at)]:
            answer["Body"].close()
            raise ReadFailed("The server does not give a part of it, as it was asked to.")
        self._body, self._tag = answer["Body"], self._tag or str(answer.get("ETag", ""))

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._at

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        at = max(0, offset + (0, self._at, self._place.size)[whence])
        if at != self._at:
            self._let_go()
            self._at = at
        return at

    def readinto(self, buffer: memoryview) -> int:  # type: ignore[override]
        if self._body is None and self._at >= self._place.size > 0:
            return 0
        while True:
            if self._body is None:
                self.begin()
            try:
                data = self._body.read(len(buffer))
            except Exception as error:
                self._let_go()
                self._broke += 1
                if self._broke >= _TRIES or isinstance(error, MemoryError):
                    raise ReadFailed(f"The connection broke while it was read ({type(error).__name__}).") from None
                continue
            buffer[: len(data)] = data
            self._at += len(data)
            return len(data)

    def close(self) -> None:
        self._let_go()
        super().close()

    def _let_go(self) -> None:
        if self._body is not None:
            self._body.close()
            self._body = None


@cache
def _client(endpoint: str | None, process: int) -> Any:
    """A process has its own: a connection that two processes share would mix up their answers."""
    try:
        import boto3  # type: ignore[import-untyped]
        from botocore.config import Config  # type: ignore[import-untyped]
    except ImportError:
        raise UsedWrongly("Buckets are read with boto3: install amparo[store].") from None
    style = {"addressing_style": "path"} if endpoint else {}
    config = Config(
        retries={"mode": "standard", "max_attempts": 5},
        connect_timeout=10,
        read_timeout=60,
        s3=style,
        max_pool_connections=2,
    )
    return boto3.session.Session().client("s3", endpoint_url=endpoint, config=config)


def _asked(ask: Callable[[], T], bucket: str, astray: type[AmparoError]) -> T:
    """What the server answers; its errors as sentences, ``astray`` where nothing of the bucket can be had."""
    from botocore import exceptions  # type: ignore[import-untyped]

    try:
        return ask()
    except exceptions.ClientError as error:
        said = str(error.response.get("Error", {}).get("Code", ""))
        code = said if _CODE.fullmatch(said) else "an error without a name"
        if code in _ASTRAY:
            raise astray(f"The bucket {bucket} cannot be read: {_ASTRAY[code]}.") from None
        why = {
            "AccessDenied": "access is denied", "403": "access is denied", "AllAccessDisabled": "access is denied",
            "NoSuchKey": "it is no longer there", "404": "it is no longer there",
            "PreconditionFailed": "it was changed while it was read", "412": "it was changed while it was read",
            "InvalidObjectState": "it lies in an archive tier, restore it first",
        }.get(code, f"the server answered {code}")  # fmt: skip
        if astray is SourceUnreadable:
            raise SourceUnreadable(f"The bucket {bucket} cannot be listed: {why}.") from None
        raise ReadFailed(f"It cannot be read: {why}.") from None
    except (exceptions.NoCredentialsError, exceptions.PartialCredentialsError):
        raise astray(
            f"The bucket {bucket} cannot be read without credentials: set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY."
        ) from None
    except exceptions.BotoCoreError as error:
        raise astray(
            f"The server of the bucket {bucket} cannot be reached ({type(error).__name__}): check the address and the network."
        ) from None
