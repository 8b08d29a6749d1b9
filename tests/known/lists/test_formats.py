"""Each format is told by its content, and what it says is read."""

from __future__ import annotations

import hashlib
import shutil
import subprocess
from pathlib import Path

import pytest

from amparo.errors import UsedWrongly
from amparo.known.lists import Entry, read_list
from tests.known import specimens
from tests.known.specimens import lower, raw, upper


def test_hashdeep_is_read_by_the_names_of_its_columns_and_a_comma_in_a_name_is_kept(tmp_path: Path):
    path = specimens.write_lines(tmp_path / "list", "hashdeep", 3)
    known = read_list(path)
    assert known.format == "hashdeep"
    assert list(known)[2] == Entry(
        raw("md5", 2), None, raw("sha256", 2), entry="/a/file, number 2.jpg", flags='{"size":"2"}', list="list"
    )


def test_two_hashdeep_outputs_with_other_columns_are_one_list(tmp_path: Path):
    path = tmp_path / "list"
    path.write_text(
        specimens.HASHDEEP + specimens.hashdeep_lines(1)[0]
        + f"%%%% HASHDEEP-1.0\n%%%% size,sha1,filename\n5,{lower('sha1', 7)},b\n"
    )  # fmt: skip
    assert [(e.md5, e.sha1) for e in read_list(path)] == [(raw("md5", 0), None), (None, raw("sha1", 7))]


@pytest.mark.skipif(not shutil.which("hashdeep"), reason="hashdeep is not installed")
def test_what_hashdeep_itself_writes_is_read(tmp_path: Path):
    files = tmp_path / "files"
    files.mkdir()
    for n in range(5):
        (files / f"{n}, and more").write_text(str(n))
    (files / "empty").touch()
    written = subprocess.run(["hashdeep", "-c", "md5,sha1,sha256", "-r", files], capture_output=True, check=True).stdout
    (tmp_path / "list").write_bytes(written)
    known = read_list(tmp_path / "list")
    assert {(e.md5, e.sha1, e.sha256, Path(e.entry or "").name) for e in known} == {
        (raw("md5", n), raw("sha1", n), raw("sha256", n), f"{n}, and more") for n in range(5)
    }
    assert (known.empty_count, known.skipped) == (1, [])


@pytest.mark.parametrize("style", [[], ["--binary"], ["--tag"]])
@pytest.mark.parametrize("kind", ["md5", "sha1", "sha256"])
def test_what_the_coreutils_write_is_read_even_with_a_line_end_in_a_name(tmp_path: Path, kind: str, style: list[str]):
    names = ["plain", "two  spaces", "back\\slash", "line\nend", "(x) = y"]
    for n, name in enumerate(names):
        (tmp_path / name).write_text(str(n))
    written = subprocess.run([f"{kind}sum", *style, *names], cwd=tmp_path, capture_output=True, check=True).stdout
    (tmp_path / "list").write_bytes(written)
    known = read_list(tmp_path / "list")
    assert [(getattr(e, kind), e.entry) for e in known] == [(raw(kind, n), name) for n, name in enumerate(names)]


def test_openssl_style_lines_are_read(tmp_path: Path):
    path = tmp_path / "list"
    path.write_text(f"MD5(a)= {lower('md5', 1)}\nSHA2-256(b)= {lower('sha256', 2)}\nSHA1(c)= {lower('sha1', 3)}\n")
    assert [(e.md5, e.sha1, e.sha256) for e in read_list(path)] == [
        (raw("md5", 1), None, None), (None, None, raw("sha256", 2)), (None, raw("sha1", 3), None)
    ]  # fmt: skip


def test_bare_digests_are_told_by_their_length_or_their_prefix_and_comments_are_passed_over(tmp_path: Path):
    path = tmp_path / "list"
    path.write_text(
        f"# mine\n{lower('md5', 1)}\n\n{upper('sha1', 2)}\r\n{lower('sha256', 3)}\nsha256:{lower('sha256', 4)}"
    )
    known = read_list(path)
    assert [(e.md5, e.sha1, e.sha256) for e in known] == [
        (raw("md5", 1), None, None), (None, raw("sha1", 2), None), (None, None, raw("sha256", 3)), (None, None, raw("sha256", 4))
    ]  # fmt: skip
    assert known.skipped == []


@pytest.mark.parametrize("separator", [",", ";", "\t", "|"])
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
def test_columns_are_read_by_their_names_whatever_case_order_separator_and_encoding(
    tmp_path: Path, separator: str, encoding: str
):
    path = tmp_path / "list.csv"
    rows = [
        ["Entry", "SHA-256", "PDQ", "Category", "Md5"],
        ["é1", upper("sha256", 1), "", "A1", lower("md5", 1)],
        ["2", "", "", "", upper("md5", 2)],
    ]
    path.write_text("\r\n".join(separator.join(row) for row in rows), encoding, newline="")
    assert list(read_list(path)) == [
        Entry(raw("md5", 1), None, raw("sha256", 1), category="A1", entry="é1", list="list.csv"),
        Entry(raw("md5", 2), None, None, entry="2", list="list.csv"),
    ]


def test_a_single_column_under_its_name_is_read(tmp_path: Path):
    path = tmp_path / "list"
    path.write_text("MD5\n" + "".join(lower("md5", n) + "\n" for n in range(4)))
    assert [e.md5 for e in read_list(path)] == [raw("md5", n) for n in range(4)]


def test_a_quoted_field_may_hold_separators_quotation_marks_and_line_ends(tmp_path: Path):
    path = tmp_path / "list"
    path.write_text(f'md5,entry\n{lower("md5", 1)},"a, ""b""\nc"\n{lower("md5", 2)},d\n')
    assert [e.entry for e in read_list(path)] == ['a, "b"\nc', "d"]


def test_a_quotation_mark_that_is_never_closed_costs_its_own_line_only(tmp_path: Path):
    path = tmp_path / "list"
    lines = [f"{lower('md5', n)},name {n}\n" for n in range(50)]
    lines[10] = '"' + lines[10]
    path.write_text("md5,entry\n" + "".join(lines))
    known = read_list(path)
    assert [e.entry for e in known] == [f"name {n}" for n in range(50) if n != 10]
    assert known.skipped == ["line 12: a quotation mark is not closed"]


def test_an_icse_export_gives_the_image_and_its_baseline(tmp_path: Path):
    known = read_list(specimens.write_lines(tmp_path / "list", "icse", 2))
    assert known.format == "ICSE CSV"
    assert [(e.md5, e.sha1, e.category, e.entry) for e in known] == [
        (raw("md5", 0), raw("sha1", 0), "not baseline", "0"), (raw("md5", 1), raw("sha1", 1), "baseline", "1")
    ]  # fmt: skip


def test_the_second_nsrl_format_is_known_good_except_what_it_calls_malicious(tmp_path: Path):
    lines = specimens.rds2_lines(3)
    lines[1] = lines[1].replace('""\n', '"M"\n')
    known = read_list(specimens.write_lines(tmp_path / "NSRLFile.txt", "rds2", lines))
    assert [(e.sha1, e.md5, e.good) for e in known] == [(raw("sha1", n), raw("md5", n), True) for n in (0, 2)]
    assert known.skipped_count == 1


@pytest.mark.parametrize("view", [False, True])
def test_the_third_nsrl_format_gives_each_content_once_as_known_good(tmp_path: Path, view: bool):
    known = read_list(specimens.write_rds3(tmp_path / "rds.db", 40, view))
    assert known.format == "NSRL RDSv3"
    entries = list(known)
    assert {(e.sha256, e.sha1, e.md5) for e in entries} == {
        (raw("sha256", n), raw("sha1", n), raw("md5", n)) for n in range(40)
    }
    assert len(entries) == 40 and all(e.good for e in entries)


def test_the_format_version_and_counts_are_told(tmp_path: Path):
    path = specimens.write_lines(tmp_path / "list", "md5sum", 9)
    known = read_list(path)
    assert known.version == hashlib.sha256(path.read_bytes()).hexdigest()  # without a reading
    assert len(list(known)) == known.read == 9
    assert len(list(known)) == known.read == 9  # and again
    assert known.version == hashlib.sha256(path.read_bytes()).hexdigest()


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (b"", "is empty"),
        (b"PK\x03\x04rest", "packed (ZIP): unpack it"),
        (b"hello\nworld\n", "Line 1 of "),
        (b"\n\nname,size\na,1\n", "Line 3 of "),
        (b"pdna,category\n" + b"ab" * 32 + b",1\n", "header that names md5, sha1, sha256 or pdq"),
        (b"md5,entry\nabc,1\n", "line 2: the MD5 has 3 characters, not 32"),
        (b'{"a": 1}', 'no "value"'),
        (b'{"a": nonsense', "before its first entry"),
        (b"SQLite format 3\x00" + bytes(1000), "damaged"),
        (b"\x00\x01\x02" * 999, "neither a digest"),
    ],
)
def test_what_is_no_list_is_refused_in_one_sentence(tmp_path: Path, content: bytes, says: str):
    path = tmp_path / "list"
    path.write_bytes(content)
    with pytest.raises(UsedWrongly) as refusal:
        list(read_list(path))
    assert says in str(refusal.value) and "\n" not in str(refusal.value)


def test_a_missing_list_a_folder_and_a_foreign_database_are_refused(tmp_path: Path):
    specimens.sqlite3.connect(tmp_path / "other.db").executescript(
        "create table t(a); insert into t values (1)"
    ).close()
    for path, says in (
        (tmp_path / "none", "No such file"),
        (tmp_path, "folder"),
        (tmp_path / "other.db", "no table FILE"),
    ):
        with pytest.raises(UsedWrongly, match=says):
            list(read_list(path))


def test_digests_of_the_empty_file_are_dropped_and_the_rest_of_their_entry_kept(tmp_path: Path):
    path = tmp_path / "list"
    empty = {kind: hashlib.new(kind).hexdigest() for kind in ("md5", "sha1")}
    path.write_text(f"md5,sha1,entry\n{empty['md5']},{empty['sha1']},a\n{empty['md5']},{lower('sha1', 1)},b\n")
    known = read_list(path)
    assert [(e.md5, e.sha1, e.entry) for e in known] == [(None, raw("sha1", 1), "b")]
    assert (known.empty_count, known.skipped_count) == (1, 0)
    bare = tmp_path / "bare"
    bare.write_text(f"{empty['sha1']}\n{lower('sha1', 1)}\n")
    assert [e.sha1 for e in read_list(bare)] == [raw("sha1", 1)]


def test_an_entry_with_nothing_but_a_fingerprint_is_a_good_entry(tmp_path: Path):
    path = tmp_path / "list.csv"
    path.write_text(f"pdq,category,entry\n{upper('sha256', 1)},A1,p\n{lower('sha256', 2)[:-1]},A1,q\n")
    known = read_list(path)
    assert list(known) == [Entry(pdq=raw("sha256", 1), category="A1", entry="p", list="list.csv")]
    assert known.skipped == ["line 3: the PDQ has 63 characters, not 64"]
