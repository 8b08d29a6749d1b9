"""The page itself: whole, closed to the outside, and not to be moved by any name."""

from __future__ import annotations

import base64
import hashlib
import json
import re
import unicodedata
from importlib.resources import files
from itertools import pairwise
from pathlib import Path

import pytest

from amparo.errors import PackageWrong, UsedWrongly
from amparo.evidence import report
from amparo.evidence.report.wording import LANGUAGES
from tests.evidence.report.reading import Elements, bare, html_of, text_of
from tests.evidence.report.specimen import digests, everyday

HOSTILE = [
    "<script>alert(1)</script>",
    "\"' onload=x <img src=http://example.test/a.png>",
    "line\nbreak\rand\ttab\x1b[2J\x07",
    "invoice\u202egnp.exe",
    "\u2066isolate\u2069 \u200f\u200bhidden",
    "</td></table></style><style>*{display:none}</style>",
    "{{ 7*7 }} {% raw %} {n} %s",
    "nul\x00byte",
    "é" * 255,
    "&lt;b&gt; &amp; &#60;",
]


def test_every_match_stands_in_the_page_with_its_digests_and_place(tmp_path: Path) -> None:
    made = bare(tmp_path)
    for number in range(700):
        made.match(
            made.file(f"Users/Ana/IMG_{number:04}.jpg", extents=f"[[{4096 * number},4096]]"), entry=f"E-{number}"
        )
    page = html_of(made.finish(), "en")
    text = Elements(page).text
    for number in range(700):
        md5, sha1, sha256 = digests(f"Users/Ana/IMG_{number:04}.jpg")
        assert all(digest in text for digest in (md5, sha1, sha256))
        assert f"E-{number} " in text
        assert f"byte {4096 * number:,} of the source" in text
    assert "leaves out" not in text


def test_a_match_inside_archives_shows_the_way_to_it_and_the_place_of_the_outermost(tmp_path: Path) -> None:
    text = text_of(everyday(tmp_path / "evidence.sqlite"))
    assert "inside Users/Ana/Documents/cópia.zip (byte 734,003,200 of the source) › antigo.tar" in text


def test_a_content_in_several_runs_shows_how_many(tmp_path: Path) -> None:
    made = bare(tmp_path)
    made.match(made.file("a.jpg", extents="[[8192,100],[16384,100],[0,9]]"))
    assert "volume 1, byte 8,192 of the source, in 3 extents" in text_of(made.finish())


def test_the_time_a_file_was_modified_is_told_as_it_is_kept(tmp_path: Path) -> None:
    made = bare(tmp_path)
    made.match(made.file("a.jpg", modified="2025-03-01T10:20:30.123456Z"))
    assert "modified 2025-03-01 10:20:30.123456 UTC" in text_of(made.finish())


def test_matches_are_grouped_by_list_the_lowest_category_first(tmp_path: Path) -> None:
    made = bare(tmp_path)
    for number, category in enumerate(["10", None, "2", "baseline", "1"]):
        made.match(made.file(f"{number}.jpg"), category=category)
    text = text_of(made.finish())
    order = [text.index(f"{number}.jpg") for number in (4, 2, 0, 3, 1)]
    assert order == sorted(order)


def test_nothing_in_the_page_points_outside_it(tmp_path: Path) -> None:
    page = html_of(everyday(tmp_path / "evidence.sqlite"))
    for tag, attributes in Elements(page).tags:
        assert tag not in (
            "script",
            "img",
            "link",
            "iframe",
            "object",
            "embed",
            "form",
            "base",
            "audio",
            "video",
            "image",
            "use",
        )
        for name, value in attributes.items():
            assert not name.startswith("on")
            assert name not in ("src", "srcset", "style", "action", "data")
            if name == "href":
                assert (value or "").startswith("#")
            if name != "xmlns":
                assert "http:" not in (value or "") and "https:" not in (value or "")
    style = page[page.index("<style>") : page.index("</style>")]
    assert "url(" not in style and "@import" not in style


def test_the_policy_allows_the_style_sheet_alone(tmp_path: Path) -> None:
    page = html_of(everyday(tmp_path / "evidence.sqlite"))
    style = page[page.index("<style>") + 7 : page.index("</style>")]
    expected = base64.b64encode(hashlib.sha256(style.encode()).digest()).decode()
    policy = next(a["content"] for tag, a in Elements(page).tags if a.get("http-equiv") == "Content-Security-Policy")
    assert policy == f"default-src 'none'; style-src 'sha256-{expected}'; base-uri 'none'; form-action 'none'"


@pytest.mark.parametrize("name", HOSTILE)
def test_a_hostile_name_is_shown_and_does_nothing(name: str, tmp_path: Path) -> None:
    plain = _everywhere(tmp_path, "plain name")
    hostile = _everywhere(tmp_path, name)
    assert [_shape(*tag) for tag in hostile.tags] == [_shape(*tag) for tag in plain.tags]
    assert not [c for c in hostile.text if unicodedata.category(c) in ("Cc", "Cf", "Cs", "Co", "Cn")]
    shown = "".join(c if c.isprintable() else f"\\u{ord(c):04x}" for c in name)
    assert hostile.text.count(re.sub(r"\s+", " ", shown[:60])) >= 12


def _shape(tag: str, attributes: dict[str, str | None]) -> tuple[str, list[str]]:
    return tag, [] if tag == "nav" else sorted(attributes)  # the contents move to the second page below a long summary


def _everywhere(folder: Path, name: str) -> Elements:
    """A page where that text stands wherever a text can."""
    (folder / "evidence.sqlite").unlink(missing_ok=True)
    fields = (
        "reference",
        "issued_by",
        "case_number",
        "exhibit_number",
        "exhibit_description",
        "examiner_name",
        "examiner_agency",
    )
    known = (
        f'[{{"list": {json.dumps(name)}, "format": {json.dumps(name)}, "good": false, "sha256": "ab", "entries": 1}}]'
    )
    made = bare(folder, order={**dict.fromkeys(fields, name), "warnings": [name]}, run={"source": name, "lists": known})
    made.volume(2, label=name, filesystem=name)
    file = made.file(name, mime=name, problem=name, modified=name)
    made.match(file, name, entry=name, category=name)
    made.match(made.file(f"{name}/{name}", "inside", parent=file, extents=None), name, entry=name, category=name)
    made.problem("read", name, name)
    made.problem(name, None, name)
    made.gather(file, f"pattern: {name}")
    return Elements(html_of(made.finish()))


def test_half_a_character_from_a_run_and_bytes_that_are_no_text_stay_visible(tmp_path: Path) -> None:
    made = bare(tmp_path, order={"reference": "a\ud800b"})
    made.match(made.file("x"))
    made.database.execute("update files set path = cast(? as text)", (b"caf\xe9.jpg",))
    text = text_of(made.finish())
    assert "a\\ud800b" in text
    assert "caf\\xe9.jpg" in text


def test_a_name_written_from_right_to_left_stays_between_its_slashes(tmp_path: Path) -> None:
    made = bare(tmp_path)
    made.match(made.file("a/שלום/תמונה/b.jpg"))
    assert "<bdi>a</bdi>/<bdi>שלום</bdi>/<bdi>תמונה</bdi>/<bdi>b.jpg</bdi>" in html_of(made.finish())


def test_a_list_named_from_right_to_left_moves_nothing_beside_it(tmp_path: Path) -> None:
    made = bare(tmp_path)
    made.match(made.file("a.jpg"), "רשימה", entry="1")
    assert "with the list “<bdi>רשימה</bdi>”" in html_of(made.finish(), "en")


@pytest.mark.parametrize("language", LANGUAGES)
def test_the_same_tables_give_the_same_page(language: str, tmp_path: Path) -> None:
    database = everyday(tmp_path / "evidence.sqlite")
    assert html_of(database, language) == html_of(database, language)


@pytest.mark.parametrize("language", LANGUAGES)
def test_a_screen_reader_finds_its_way(language: str, tmp_path: Path) -> None:
    tags = Elements(html_of(everyday(tmp_path / "evidence.sqlite"), language)).tags
    assert tags[0][0] == "html" and (tags[0][1]["lang"] or "").startswith(language)
    levels = [int(tag[1]) for tag, _ in tags if tag in ("h1", "h2", "h3", "h4")]
    assert levels[0] == 1 and levels.count(1) == 1
    assert all(after - before <= 1 for before, after in pairwise(levels))
    assert all(attributes.get("scope") in ("row", "col") for tag, attributes in tags if tag == "th")
    anchors = {attributes["id"] for _, attributes in tags if "id" in attributes}
    assert {attributes["href"][1:] for tag, attributes in tags if tag == "a" and attributes["href"]} <= anchors
    bars = [number for number, (tag, _) in enumerate(tags) if tag == "svg"]
    assert bars and all(tags[number + 1][0] == "title" for number in bars)


def test_every_colour_of_text_can_be_read_on_white_and_on_the_watermark() -> None:
    style = files("amparo.evidence.report").joinpath("report.css").read_text("utf-8")
    watermark = re.search(r"letter-spacing: \.1em; color: (#\w+)", style)
    assert watermark
    colours = set(re.findall(r"[ {;]color: (#[0-9a-f]{6})", style)) - {watermark.group(1)}
    assert len(colours) >= 5
    for colour in colours:
        for ground in ("#ffffff", watermark.group(1)):
            assert _contrast(colour, ground) >= 4.5, (colour, ground)


def _contrast(one: str, other: str) -> float:
    """WCAG 2.2, 1.4.3."""
    lights = []
    for colour in (one, other):
        parts = [int(colour[at : at + 2], 16) / 255 for at in (1, 3, 5)]
        linear = [part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts]
        lights.append(0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2])
    return (max(lights) + 0.05) / (min(lights) + 0.05)


def test_long_lists_of_problems_are_cut_and_say_by_how_much(tmp_path: Path) -> None:
    made = bare(tmp_path)
    for number in range(1203):
        made.problem("read", f"f{number}", "It was not read.")
    text = text_of(made.finish())
    assert "Reading of files: 1,203" in text
    assert "f999 It was not read." in text and "f1000 " not in text
    assert "203 rows of this stage are left out here: they are in the table problems" in text


def test_counts_by_state_and_kind_come_from_the_tables(tmp_path: Path) -> None:
    made = bare(tmp_path)
    made.file("a.png", mime="image/png", size=1024)
    made.file("b.zip", "deleted", mime="application/zip", size=2048)
    made.file("c", mime="application/x-unheard-of", size=10)
    made.file("d", mime=None, sha256=None, problem="Its clusters were used again.")
    made.file("e", mime="inode/x-empty", size=0, known_good="nsrl.sqlite")
    text = text_of(made.finish())
    assert "live the file system has them as present 4 " in text
    for row in (
        "pictures 1 1.0 KiB",
        "archives (ZIP and the like) 1 2.0 KiB",
        "other types 1 10 bytes",
        "empty 1 0 bytes",
    ):
        assert row in text
    assert "type not determined 1 200.0 KiB" in text
    assert (
        "With digests: 4 of 5. Content not read, or read in part: 1. Recognised by a list as ordinary files: 1." in text
    )
    assert "Its clusters were used again. 1" in text


def test_what_was_gathered_and_for_whom_is_told(tmp_path: Path) -> None:
    made = bare(tmp_path)
    made.gather(made.file("a.docx"), "pattern: *.docx")
    text = text_of(made.finish())
    assert "age1" + "q" * 58 in text
    assert "name asked for: *.docx" in text
    assert f"data/gathered/{digests(1)[2]}.age" in text


def test_the_report_names_the_tables_it_was_written_from(tmp_path: Path) -> None:
    database = everyday(tmp_path / "evidence.sqlite")
    assert hashlib.sha256(database.read_bytes()).hexdigest() in text_of(database)


def test_a_file_that_is_no_examination_is_refused_in_one_sentence(tmp_path: Path) -> None:
    (tmp_path / "evidence.sqlite").write_bytes(b"not a database" * 100)
    with pytest.raises(PackageWrong, match="does not hold the tables of an examination"):
        report.write_report(tmp_path / "evidence.sqlite", tmp_path, "pt")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["evidence.sqlite"]


def test_another_language_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UsedWrongly, match='no report in "fr": use one of pt, en'):
        report.write_report(tmp_path / "evidence.sqlite", tmp_path, "fr")


def test_a_page_that_cannot_be_finished_leaves_the_old_one(tmp_path: Path) -> None:
    database = everyday(tmp_path / "evidence.sqlite")
    before = html_of(database)
    raw = bytearray(database.read_bytes())
    raw[len(raw) // 3 : len(raw) // 3 * 2] = b"\xff" * (len(raw) // 3)
    database.write_bytes(raw)
    with pytest.raises(PackageWrong):
        html_of(database)
    assert (tmp_path / "report.html").read_text("utf-8") == before
    assert not list(tmp_path.glob("*.part"))
