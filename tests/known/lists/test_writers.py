"""What is written is read again as it was, and what a format has no place for is told."""

from __future__ import annotations

import io
import json
import tempfile
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from amparo.errors import UsedWrongly
from amparo.known.lists import FORMATS, Entry, read_list, write_list
from amparo.known.lists.claim import EMPTY, compact, legible
from amparo.known.lists.writers.omissions import NO_DIGEST
from tests.known.specimens import raw

# Any letter but half a character; \r, which no CSV and no XML keeps, has a test of its own.
LETTERS = st.characters(exclude_categories=["Cs"], exclude_characters="\r")
PRINTED = st.characters(exclude_categories=["Cs", "Cc", "Cn", "Zl", "Zp"])
texts = st.text(LETTERS, min_size=1, max_size=30).map(legible).filter(bool).filter(lambda text: text.count("\n") < 3)
lines = st.text(PRINTED, min_size=1, max_size=30).map(legible).filter(bool)


def digests(size: int) -> st.SearchStrategy[bytes]:
    return st.binary(min_size=size, max_size=size).filter(lambda digest: digest not in EMPTY.values())


md5s, sha1s, sha256s = digests(16), digests(20), digests(32)
films = st.lists(sha256s, min_size=1, max_size=4).map(b"".join)
whole = st.integers(-5, 10**12).map(str)


def flags(**of: st.SearchStrategy[Any]) -> st.SearchStrategy[str | None]:
    """Some of these, as compact JSON."""
    return st.fixed_dictionaries({}, optional=of).map(lambda said: compact(said) if said else None)


def entries(**of: st.SearchStrategy[Any]) -> st.SearchStrategy[list[Entry]]:
    """One to five entries that hold some of these, and at least one digest."""
    kinds = {name: st.none() | strategy if name not in ("flags",) else strategy for name, strategy in of.items()}
    one = st.builds(Entry, list=st.just("list"), **kinds)
    return st.lists(one.filter(lambda e: any((e.md5, e.sha1, e.sha256, e.pdq, e.film))), min_size=1, max_size=5)


json_values = st.recursive(
    st.booleans() | st.integers(-9, 9) | lines, lambda inner: st.lists(inner, min_size=1, max_size=2)
)
vics = entries(
    md5=md5s, sha1=sha1s, sha256=sha256s, pdq=sha256s, category=whole, entry=whole | texts,
    flags=flags(
        IsDistributed=st.sampled_from(["true", "false"]), VictimIdentified=st.booleans(), Series=texts, Tags=texts, MediaSize=whole,
        Exifs=st.lists(st.fixed_dictionaries({"PropertyName": lines, "PropertyValue": lines}), min_size=1, max_size=2),
        AlternativeHashes=st.just([{"HashName": "PhotoDNA", "HashValue": "QUJD"}]), Anything=json_values,
    ),
)  # fmt: skip
icse = entries(
    md5=md5s, sha1=sha1s, category=st.sampled_from(["baseline", "not baseline"]), entry=texts,
    flags=st.fixed_dictionaries(
        {}, optional={"Is distributed": st.sampled_from("YN"), "PhotoDNA": st.just("AB"), "Series name": lines, "Media Type": lines}
    ).map(lambda said: compact(said) if said else None),
)  # fmt: skip
own = entries(
    md5=md5s, sha1=sha1s, sha256=sha256s, pdq=sha256s, film=films, category=texts, entry=texts,
    flags=st.dictionaries(texts, json_values, max_size=3).map(lambda said: compact(said) if said else None),
)  # fmt: skip
told = {"collab": texts, "tags": lines, "owner": json_values}
signals = st.lists(
    st.one_of(
        *(
            st.builds(
                Entry, list=st.just("list"), category=st.none() | texts, entry=st.none() | texts, **{kind: values},
                flags=st.fixed_dictionaries({"signal_type": st.sampled_from(names)}, optional=told).map(compact),
            )
            for kind, values, names in (
                ("md5", md5s, ["md5", "video_md5", "HASH_MD5"]), ("sha1", sha1s, ["sha1"]), ("pdq", sha256s, ["pdq", "HASH_PDQ"]),
                ("sha256", sha256s, ["sha256", "video_sha256"]),
            )
        ),
        st.builds(
            Entry, list=st.just("list"), film=st.lists(sha256s, min_size=2, max_size=3).map(b"".join), entry=st.none() | texts,
            flags=st.just('{"signal_type":"vpdq","vpdq":{"quality":"100","time":"+1.000"}}'),
        ),
    ),
    min_size=1, max_size=4,
)  # fmt: skip
hashdeep = entries(md5=md5s, sha1=sha1s, sha256=sha256s, entry=lines, flags=flags(size=st.integers(0, 10**9).map(str)))
member = st.fixed_dictionaries({"@id": whole, "#text": lines})
ncmec = entries(
    md5=md5s, sha1=sha1s, sha256=sha256s, pdq=sha256s, category=lines, entry=lines,
    flags=st.fixed_dictionaries(
        {"type": st.sampled_from(["image", "video"])},
        optional={
            "member": member, "timestamp": st.just("2017-10-24T15:00:00Z"), "fingerprints": st.just({"pdna": "QUJD"}),
            "feedback": st.fixed_dictionaries({"@type": lines, "members": st.lists(member, min_size=2, max_size=3)}),
        },
    ).map(compact),
)  # fmt: skip
stopncii = st.lists(
    st.one_of(
        *(
            st.builds(
                Entry, list=st.just("list"), **{kind: values},
                flags=st.fixed_dictionaries(
                    {"signalType": st.just(name)},
                    optional={
                        "hashStatus": st.sampled_from(["Active", "Received"]), "lastModtimestamp": st.integers(1, 10**10),
                        "caseNumbers": st.dictionaries(texts, texts, min_size=1, max_size=2),
                    },
                ).map(compact),
            )
            for kind, values, name in (("pdq", sha256s, "ImagePDQ"), ("md5", md5s, "VideoMD5"))
        )
    ),
    min_size=1, max_size=4,
)  # fmt: skip

HELD = {
    "vics-1.3": vics, "vics-2.0": vics, "icse": icse, "csv": own, "threatexchange": signals, "hashdeep": hashdeep, "ncmec": ncmec,
    "stopncii": stopncii, "md5sum": entries(md5=md5s, entry=texts), "sha1sum": entries(sha1=sha1s, entry=texts),
    "sha256sum": entries(sha256=sha256s, entry=texts), "pdq": entries(pdq=sha256s, entry=texts),
}  # fmt: skip
everything = st.lists(
    st.builds(
        Entry, md5=st.none() | md5s, sha1=st.none() | sha1s, sha256=st.none() | sha256s, pdq=st.none() | sha256s,
        film=st.none() | films, category=st.none() | st.text(max_size=20).map(legible), entry=st.none() | st.text(max_size=20).map(legible),
        flags=st.none() | st.text(max_size=9) | st.dictionaries(st.text(max_size=9), json_values, max_size=3).map(compact),
    ),
    max_size=4,
)  # fmt: skip
KINDS = ("md5", "sha1", "sha256", "pdq", "film")
QUICK = settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))


def written(entries: list[Entry], form: str) -> tuple[bytes, Any]:
    out = io.BytesIO()
    told = write_list(entries, form, out)
    return out.getvalue(), told


def read(data: bytes) -> list[Entry]:
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / "list").write_bytes(data)
        known = read_list(Path(folder) / "list")
        given = list(known)
        assert not known.skipped and not known.faulty_count
        return given


def test_every_format_that_is_written_has_a_law_here():
    assert HELD.keys() == FORMATS.keys()


@pytest.mark.parametrize("form", list(FORMATS))
@QUICK
@given(data=st.data())
def test_what_a_format_holds_is_read_again_as_it_was(form: str, data: st.DataObject):
    given_ = data.draw(HELD[form])
    text, told = written(given_, form)
    assert (told.count, told.left_out) == (len(given_), {})
    if form == "ncmec":  # pictures stand before films there
        given_ = sorted(given_, key=lambda entry: '"type":"video"' in (entry.flags or ""))
    assert read(text) == given_


@pytest.mark.parametrize("form", list(FORMATS))
@QUICK
@given(given_=everything)
def test_of_any_entries_every_one_is_written_or_told_and_no_digest_is_invented(form: str, given_: list[Entry]):
    text, told = written(given_, form)
    assert told.count + told.left_out.get(NO_DIGEST, 0) == len(given_)
    if told.count:
        found = {(kind, getattr(entry, kind)) for entry in read(text) for kind in KINDS if getattr(entry, kind)}
        assert found <= {(kind, getattr(entry, kind)) for entry in given_ for kind in KINDS}


def test_what_has_no_place_is_told_by_its_name():
    entry = Entry(
        md5=raw("md5", 1), sha1=raw("sha1", 1), sha256=raw("sha256", 1), pdq=raw("sha256", 2), film=raw("sha256", 3),
        category="A1", entry="x", flags='{"member":"m","Is distributed":"Y"}',
    )  # fmt: skip
    expected = {
        "vics-2.0": ["the film's fingerprints", "the category", "the flag named member", "the flag named Is distributed"],
        "icse": ["the SHA-256", "the PDQ", "the film's fingerprints", "the category", "the flag named member"],
        "csv": [], "threatexchange": [], "ncmec": ["the film's fingerprints", "the flag named Is distributed"],
        "md5sum": [
            "the SHA-1", "the SHA-256", "the PDQ", "the film's fingerprints", "the category", "the flag named member",
            "the flag named Is distributed",
        ],
        "stopncii": [
            "the SHA-1", "the SHA-256", "the film's fingerprints", "the category", "the identifier", "the flag named member",
            "the flag named Is distributed",
        ],
    }  # fmt: skip
    for form, names in expected.items():
        assert sorted(written([entry], form)[1].left_out) == sorted(names), form
    assert written([Entry(sha1=raw("sha1", 1))], "md5sum")[1].left_out == {NO_DIGEST: 1}
    assert written([Entry(md5=raw("md5", 1))], "stopncii")[1].left_out == {NO_DIGEST: 1}  # of a film? nothing says so


def test_carriage_returns_and_control_characters_are_told_where_they_cannot_stand():
    entry = Entry(md5=raw("md5", 1), entry="a\rb\x01c", flags='{"type":"image"}')
    text, told = written([entry], "csv")
    assert told.left_out == {"line ends in a text, written as spaces": 1} and read(text)[0].entry == "a b\x01c"
    text, told = written([entry], "ncmec")
    assert told.left_out == {"control characters, written as escapes": 1} and read(text)[0].entry == "a\rb\\x01c"


def test_the_spelling_is_that_of_the_formats():
    entry = Entry(md5=raw("md5", 1), sha256=raw("sha256", 1), category="1", entry="5", flags='{"IsDistributed":"true"}')
    root = json.loads(written([entry], "vics-1.3")[0])
    assert list(root) == ["odata.metadata", "value"] and root["odata.metadata"].endswith("1.3.xml#Media")
    assert root["value"] == [{
        "MediaID": 5, "Category": 1, "MD5": raw("md5", 1).hex().upper(), "SHA1": None, "IsDistributed": "true",
        "AlternativeHashes": [{"HashName": "SHA256", "HashValue": raw("sha256", 1).hex().upper()}],
    }]  # fmt: skip
    assert json.loads(written([], "vics-2.0")[0])["@odata.context"].endswith("2.0.xml/Default/$metadata#Media")
    assert written([entry], "icse")[0].startswith(b"MD5;SHA1;ZZ40;PhotoDNA;Lace;Image ID;Is distributed;")
    pages = written(
        [Entry(md5=raw("md5", n), flags=f'{{"type":"{kind}"}}') for n, kind in enumerate(("video", "image"))], "ncmec"
    )[0]
    assert pages.index(b'<images count="1"') < pages.index(b'<videos count="1"')


def test_a_stream_of_text_and_one_of_bytes_say_the_same_and_stay_open(tmp_path: Path):
    entry = Entry(md5=raw("md5", 1), entry="é")
    text = io.StringIO()
    write_list([entry], "csv", text)
    with (tmp_path / "text").open("w", encoding="utf-8") as out, (tmp_path / "bytes").open("wb") as raw_out:
        write_list([entry], "csv", out)
        write_list([entry], "csv", raw_out)
        assert not out.closed and not raw_out.closed
    assert (tmp_path / "text").read_bytes() == (tmp_path / "bytes").read_bytes() == text.getvalue().encode()


def test_another_format_is_refused():
    with pytest.raises(UsedWrongly, match="choose one of vics"):
        write_list([], "nsrl", io.BytesIO())
