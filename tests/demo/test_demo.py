"""The demonstration as a user runs it."""

from __future__ import annotations

import dataclasses
import hashlib
import string
from pathlib import Path

import pytest

from amparo import cli, demo
from amparo.demo import computer, place, story, truth
from amparo.errors import UsedWrongly
from amparo.evidence import package, tables


@pytest.fixture(scope="module")
def outside(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A home where the demonstration must leave no trace."""
    return tmp_path_factory.mktemp("home")


@pytest.fixture(scope="module")
def ran(outside: Path) -> tuple[Path, int]:
    patch = pytest.MonkeyPatch()
    patch.setenv("HOME", str(outside))
    patch.setenv("XDG_CONFIG_HOME", str(outside / "config"))
    patch.setenv("AMPARO_KEY", str(outside / "key.pem"))
    out = outside / "demo"
    try:
        return out, demo.run(out, "pt")
    finally:
        patch.undo()


def _digests(folder: Path) -> dict[str, str]:
    return {
        str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in folder.rglob("*")
        if path.is_file()
    }


def test_everything_that_was_planted_is_found_and_the_package_holds(ran: tuple[Path, int]) -> None:
    out, code = ran
    assert code == 0
    assert all(finding.ok for finding in package.verify(out / place.PACKAGE))
    result = truth.compare(out / place.PACKAGE / "data" / "evidence.sqlite", computer.build())
    assert result.holds
    assert len(result.found) == 26 and result.alike() == 5
    assert len(result.explained) == 2
    assert (out / place.PACKAGE / "data" / "report.html").exists()


def test_nothing_is_written_beside_its_folder_and_the_examiners_key_is_not_made(
    ran: tuple[Path, int], outside: Path
) -> None:
    assert [path.name for path in outside.iterdir() if path.name not in (".cache", "demo")] == []
    assert (ran[0] / place.SEAL).exists()
    assert (ran[0] / place.RECIPIENT).stat().st_mode & 0o077 == 0


def test_the_package_is_marked_as_training(ran: tuple[Path, int]) -> None:
    database = tables.open_read_only(ran[0] / place.PACKAGE / "data" / "evidence.sqlite")
    assert '"training": true' in database.execute("select value from run where key = 'order'").fetchone()[0]
    database.close()


def test_a_picture_that_the_search_missed_or_invented_is_noticed(ran: tuple[Path, int]) -> None:
    evidence = ran[0] / place.PACKAGE / "data" / "evidence.sqlite"
    made = computer.build()
    first = made.planted[0]
    for wrong in (
        first._replace(path="Users/elsewhere.jpg"), first._replace(state="deleted"), first._replace(content=b"other"),
        first._replace(entry="D-999"), first._replace(volume=2),
    ):  # fmt: skip
        result = truth.compare(evidence, dataclasses.replace(made, planted=[wrong, *made.planted[1:]]))
        assert result.missing == [wrong]
        assert result.strangers == [first.path]
        assert not result.holds
    unsaid = first._replace(state="lost")
    assert truth.compare(evidence, dataclasses.replace(made, planted=[*made.planted, unsaid])).silent == [unsaid]
    assert not truth.compare(evidence, dataclasses.replace(made, ordinary={})).holds


def test_run_again_it_replaces_its_own_and_leaves_the_rest(
    ran: tuple[Path, int], capsys: pytest.CaptureFixture[str]
) -> None:
    out, _ = ran
    before = _digests(out)
    (out / "notes.txt").write_text("mine")
    (out / place.PACKAGE / "data" / "report.html").write_text("tampered with")
    assert cli.main(["demo", "--out", str(out), "--language", "en"]) == 0
    after = _digests(out)
    assert after.pop("notes.txt")
    same = {name for name in before if before[name] == after.get(name)}
    assert {place.DISK, place.ORDER} <= same
    assert {name for name in before if name.startswith(place.KNOWN)} <= same
    assert before[place.RECIPIENT] != after[place.RECIPIENT]
    said = capsys.readouterr().out
    assert "Known pictures found: 26 of 26" in said
    assert "went as it should" in said
    assert f"verify {out / place.PACKAGE}" in said


def test_a_folder_that_is_not_its_own_is_refused_and_left_alone(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "disk.img").write_text("somebody's")
    before = _digests(tmp_path)
    assert cli.main(["demo", "--out", str(tmp_path)]) == 2
    assert "not an earlier demonstration" in capsys.readouterr().err
    assert _digests(tmp_path) == before


def test_a_file_in_the_way_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    with pytest.raises(UsedWrongly, match="is a file"):
        demo.run(tmp_path / "file", "pt")


def test_links_in_its_folder_lead_nowhere(tmp_path: Path) -> None:
    kept, out = tmp_path / "kept", tmp_path / "out"
    kept.mkdir()
    (kept / "file").write_text("somebody's")
    place.prepare(out)
    (out / place.PACKAGE).symlink_to(kept)
    (out / place.DISK).symlink_to(kept / "file")
    place.prepare(out)
    assert (kept / "file").read_text() == "somebody's"
    assert [path.name for path in out.iterdir()] == [place.MARK]
    (out / place.MARK).unlink()
    (out / place.MARK).symlink_to(kept / "file")
    with pytest.raises(UsedWrongly, match="not an earlier demonstration"):
        place.prepare(out)
    assert (kept / "file").read_text() == "somebody's"


def test_an_empty_folder_is_used(tmp_path: Path) -> None:
    place.prepare(tmp_path)
    assert (tmp_path / place.MARK).exists()


def test_both_languages_have_the_same_sentences_with_the_same_places() -> None:
    portuguese, english = story.words("pt"), story.words("en")
    assert list(portuguese) == list(english)
    for key, text in portuguese.items():
        places = [{name for _, name, _, _ in string.Formatter().parse(said) if name} for said in (text, english[key])]
        assert places[0] == places[1], key
        assert text != english[key]


def test_a_language_that_it_does_not_speak_is_refused_before_anything_is_made(tmp_path: Path) -> None:
    with pytest.raises(UsedWrongly, match="does not speak"):
        demo.run(tmp_path / "new", "fr")
    assert not (tmp_path / "new").exists()
