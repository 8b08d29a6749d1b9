"""What may be asked, as the API describes it, and what that means: digests, fingerprints, films."""

from __future__ import annotations

from functools import cache
from typing import Annotated, NamedTuple

from pydantic import BaseModel, ConfigDict, Field, ValidationError, create_model

from amparo.errors import UsedWrongly
from amparo.known.film_features import Frame, distinct, from_text
from amparo.known.lists.claim import KINDS
from amparo.known.service.refused import Refused

MOST_FRAMES = 4096  # of one film
QUALITY = 50  # a fingerprint below it says too little to be matched on

_Md5 = Annotated[str, Field(pattern=r"^[0-9a-fA-F]{32}$")]
_Sha1 = Annotated[str, Field(pattern=r"^[0-9a-fA-F]{40}$")]
_Long = Annotated[str, Field(pattern=r"^[0-9a-fA-F]{64}$")]
_FrameLine = Annotated[str, Field(max_length=160)]


class Item(BaseModel):
    """One content: any of its digests, the fingerprint of a picture, or those of a film's frames."""

    model_config = ConfigDict(extra="forbid", strict=True, use_attribute_docstrings=True)

    md5: _Md5 | None = None
    """32 hexadecimal characters."""
    sha1: _Sha1 | None = None
    """40 hexadecimal characters."""
    sha256: _Long | None = None
    """64 hexadecimal characters."""
    pdq: _Long | None = None
    """The PDQ fingerprint of a picture, 64 hexadecimal characters, as the published program prints it."""
    quality: Annotated[int, Field(ge=0, le=100)] | None = None
    """The fingerprint's quality, 0 to 100, where it is known: below 50 it is not matched on."""
    vpdq: Annotated[list[_FrameLine], Field(min_length=1, max_length=MOST_FRAMES, fail_fast=True)] | None = None
    """A film's frames, each as vpdq or python-threatexchange writes it: `number,quality,hex,seconds` or `hex,quality,seconds`."""


class Batch(BaseModel):
    """What is asked for together. The answers come in the same order."""

    model_config = ConfigDict(extra="forbid", strict=True, use_attribute_docstrings=True)

    items: Annotated[list[Item], Field(min_length=1, fail_fast=True)]
    """At most as many as the service takes at once (1,000 unless its operator says otherwise)."""


class Hit(BaseModel):
    """An entry that knows the content; of these fields there are those that the key's scopes allow."""

    model_config = ConfigDict(use_attribute_docstrings=True)

    list: str | None = None
    """The list (scope `match:list`)."""
    category: str | None = None
    """The category, in the list's own scheme (scope `match:category`)."""
    entry: str | None = None
    """The entry's identifier in the list (scope `match:entry`)."""
    method: str | None = None
    """`sha256`, `sha1`, `md5`, `pdq` or `vpdq`: what agreed (scope `match:how`, as all that follow)."""
    distance: int | None = None
    """Of 256 bits, how many differ; of a film, on average."""
    contradicted: bool | None = None
    """Whether a stronger digest of the entry differs, so that a person must look."""
    share: tuple[int, int] | None = None
    """Of films: how many in a hundred of its frames the entry has, and the other way round."""


class Result(BaseModel):
    """The answer to one item."""

    model_config = ConfigDict(use_attribute_docstrings=True)

    match: bool
    """Whether any list that the key may see knows the content."""
    hits: list[Hit] | None = None
    """Absent where the key has the scope `match` only; at most 64."""
    compared: list[str] | None = None
    """Of an uploaded picture: `digests`, and `looks` where it has enough in it to be compared by looks."""
    problem: str | None = None
    """Of an uploaded picture: why it could not be fingerprinted."""


class Answers(BaseModel):
    """An answer for each item, in their order."""

    model_config = ConfigDict(use_attribute_docstrings=True)

    request: str
    """The number of the request, which the audit has too."""
    results: list[Result]


class Refusal(BaseModel):
    """Why there is no answer."""

    model_config = ConfigDict(use_attribute_docstrings=True)

    code: str
    """For programs."""
    error: str
    """For people, in English, or in Portuguese where `Accept-Language` asks for it."""
    request: str


class Asked(NamedTuple):
    """One item as it is looked up. ``prints`` are the fingerprint, or the eight of a picture and its turns."""

    digests: dict[str, bytes]
    prints: tuple[bytes, ...] = ()
    frames: tuple[Frame, ...] = ()

    @property
    def kind(self) -> str:
        """What it is counted and audited as."""
        return "film" if self.frames else "fingerprint" if self.prints else "digest"

    @property
    def cost(self) -> int:
        """How many look-ups it counts as: one, and of a film one for each frame."""
        return max(1, len(self.frames))


def read_batch(body: bytes | bytearray, most: int) -> list[Asked]:
    """The items of a request's body. Raises Refused, naming the first place that is not as it should be, never its content."""
    # Counted first: to make something of millions, only to refuse them, takes a second.
    if body.count(b"{") > most + 1 or body.count(b":") > most * len(Item.model_fields) + 1:
        raise too_many(most)
    try:
        batch = _batch_of(most).model_validate_json(body)
    except ValidationError as error:
        wrong = error.errors(include_input=False, include_url=False, include_context=False)[0]
        if wrong["type"] == "too_long" and wrong["loc"] == ("items",):
            raise too_many(most) from None
        place = ".".join(str(part) for part in wrong["loc"])[:80]
        where = place if place.isascii() and place.isprintable() and place else "JSON"
        raise Refused(
            422, "not_understood", f"The request is not as /openapi.json describes it: look at {where}."
        ) from None
    return [_asked(number, item) for number, item in enumerate(batch.items)]


def too_many(most: int) -> Refused:
    """For a batch with more items, or pictures, than are taken at once."""
    return Refused(413, "batch_too_large", f"At most {most:,} items are asked for at once: send them in several.")


@cache
def _batch_of(most: int) -> type[Batch]:
    """A batch that is given up at the first item too many, before the others are made anything of."""
    items = Annotated[list[Item], Field(min_length=1, max_length=most, fail_fast=True)]
    return create_model("Batch", __base__=Batch, items=(items, ...))


def _asked(number: int, item: Item) -> Asked:
    digests = {kind: bytes.fromhex(value) for kind in KINDS if (value := getattr(item, kind)) is not None}
    good = item.pdq is not None and (item.quality is None or item.quality >= QUALITY)
    frames: tuple[Frame, ...] = ()
    if item.vpdq is not None:
        try:
            frames = tuple(distinct(from_text("\n".join(item.vpdq))))
        except UsedWrongly:
            raise Refused(
                422, "not_understood", f"The request is not as /openapi.json describes it: look at items.{number}.vpdq."
            ) from None
    elif not digests and item.pdq is None:
        raise Refused(422, "nothing_asked", f"Item {number} holds neither a digest nor a fingerprint: give it one.")
    return Asked(digests, (bytes.fromhex(item.pdq),) if good and item.pdq else (), frames)
