"""What the report says of an examination."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.evidence.report.reading import bare, text_of
from tests.evidence.report.specimen import LISTS, OPTIONS, everyday


def test_the_summary_says_who_searched_what_under_which_order_and_when(tmp_path: Path) -> None:
    text = text_of(everyday(tmp_path / "evidence.sqlite"))
    assert (
        "Ana Exemplo (Polícia de Exemplo) searched exhibit AP-7 (Computador portátil, n.º de série 5CD1234) in case"
        " 123/26.0JAEXP. This was done under Despacho 14/2026 of 20 June 2026, issued by Procuradora da República, DIAP de"
        " Exemplo. Measure: Search of computer data (Lei 109/2009, art. 15, row of the law table not yet confirmed by a jurist)."
    ) in text
    assert "The search began on 30 June 2026 at 23:58 and ended on 1 July 2026 at 00:41 (Lisbon time)." in text
    assert "until 23 July 2026, that day included: the search ended within the term" in text


def test_the_same_summary_reads_in_portuguese(tmp_path: Path) -> None:
    text = text_of(everyday(tmp_path / "evidence.sqlite"), "pt")
    assert (
        "Fê-lo ao abrigo da decisão Despacho 14/2026, de 20 de junho de 2026, proferida por Procuradora da República"
        in text
    )
    assert "A pesquisa começou em 30 de junho de 2026, às 23:58 e terminou em 1 de julho de 2026, às 00:41" in text
    assert (
        "Foram encontrados 65 ficheiros: 46 existentes, 15 apagados, 1 órfão, 1 recuperado pela estrutura e 2 dentro"
        in text
    )
    assert "linha da tabela legal ainda não confirmada por jurista" in text
    assert "14 ficheiros correspondem a material conhecido" in text


def test_acts_are_timed_in_lisbon_with_the_offset_and_in_utc(tmp_path: Path) -> None:
    text = text_of(everyday(tmp_path / "evidence.sqlite"))
    assert "30 June 2026, 23:58:12 (Lisbon time, UTC+01:00); 2026-06-30 22:58:12 UTC" in text


def test_one_file_is_spoken_of_as_one(tmp_path: Path) -> None:
    made = bare(tmp_path)
    made.match(made.file("a.jpg"))
    text = text_of(made.finish())
    assert "1 file was found: 1 live." in text
    assert "1 file matches known material" in text
    assert "1 file with the list “lista-nacional.json” (category 1: 1)." in text


def test_a_file_that_two_lists_name_counts_once_and_stands_under_both(tmp_path: Path) -> None:
    made = bare(tmp_path)
    file = made.file("a.jpg")
    made.match(file)
    made.match(file, "parceiro.csv", category=None, entry=None)
    text = text_of(made.finish())
    assert "1 file matches known material" in text
    assert "1 file with the list “lista-nacional.json” (category 1: 1); 1 file with the list “parceiro.csv”." in text


def test_a_search_without_lists_does_not_claim_that_nothing_matched(tmp_path: Path) -> None:
    made = bare(tmp_path, run={"lists": "[]"})
    made.file("a.jpg")
    text = text_of(made.finish())
    assert "No list of known material was used: no file was compared." in text
    assert "No file matches" not in text


def test_lists_of_ordinary_files_are_not_taken_for_known_material(tmp_path: Path) -> None:
    text = text_of(bare(tmp_path, run={"lists": json.dumps(LISTS[2:])}).finish())
    assert "The lists used only name ordinary files" in text


def test_no_match_is_said_where_lists_were_used(tmp_path: Path) -> None:
    assert "No file matches the lists of known material that were used." in text_of(bare(tmp_path).finish())


def test_a_search_that_ended_after_the_order_lapsed_is_marked(tmp_path: Path) -> None:
    # 23:30 UTC on the last day is already the next day in Lisbon, where the law counts.
    text = text_of(bare(tmp_path, run={"finished": "2026-07-23T23:30:00Z"}).finish())
    assert (
        "Attention: the order allowed the search until 23 July 2026, that day included, and the search ended after"
        in text
    )
    assert "within the term" not in text


def test_the_last_day_of_the_order_lasts_until_midnight_in_lisbon(tmp_path: Path) -> None:
    text = text_of(bare(tmp_path, run={"finished": "2026-07-23T22:59:59Z"}).finish())
    assert "the search ended within the term" in text


def test_a_search_that_began_before_the_order_is_marked(tmp_path: Path) -> None:
    text = text_of(bare(tmp_path, run={"started": "2026-06-22T22:00:00Z"}).finish())
    assert "began before the day from which the order allowed it (23 June 2026)" in text


def test_a_measure_without_a_term_is_said_to_have_none(tmp_path: Path) -> None:
    order = {"measure": "seizure", "article": "Lei 109/2009, art. 16", "lapses_on": None}
    text = text_of(bare(tmp_path, order=order).finish())
    assert "The law sets no term for this order." in text
    assert "Seizure of computer data" in text


def test_a_row_that_a_jurist_confirmed_carries_no_reservation(tmp_path: Path) -> None:
    text = text_of(bare(tmp_path, order={"confirmed_by_jurist": True}).finish())
    assert "not yet confirmed by a jurist" not in text


def test_a_measure_that_the_tables_do_not_know_is_shown_by_its_key(tmp_path: Path) -> None:
    text = text_of(bare(tmp_path, order={"measure": "measure_of_2040", "authority": "council_of_2040"}).finish())
    assert "Measure: measure_of_2040" in text
    assert "council_of_2040" in text


@pytest.mark.parametrize(
    ("run", "summary", "section"),
    [
        ({}, "the search did not change it", "The two are the same"),
        ({"source_sha256_after": "00" * 32}, "Attention: the SHA-256 of the source before and after", "The two are different"),
        (
            {"source_sha256_after": None, "options": json.dumps({**OPTIONS, "source_digest": "once"})},
            "was taken once", "asked for the SHA-256 to be taken only once",
        ),
        ({"source_sha256_after": None}, "was taken once", "there is no confirmation that the source did not change"),
        (
            {"source_sha256_before": None, "source_sha256_after": None, "options": json.dumps({**OPTIONS, "source_digest": "none"})},
            "was not taken", "The examiner asked for the SHA-256 of the source not to be taken",
        ),
        ({"source_sha256_before": None, "source_sha256_after": None}, "was not taken", "could not be taken; section 6 gives"),
        (
            {"source_format": "folder", "source_sha256_before": None, "source_sha256_after": None},
            "The source is a folder and has no SHA-256 of its own", "it has no SHA-256 of its own. Every file",
        ),
    ],
)  # fmt: skip
def test_whether_the_source_stayed_the_same_is_never_left_unsaid(
    run: dict[str, str | None], summary: str, section: str, tmp_path: Path
) -> None:
    text = text_of(bare(tmp_path, run=run).finish())
    assert summary in text
    assert section in text


def test_a_digest_that_the_image_carries_is_held_against_ours_where_it_can_be(tmp_path: Path) -> None:
    unchecked, agreeing, differing = (
        text_of(bare(place, run={"source_sha256_stored": told}).finish())
        for place, told in (
            (_folder(tmp_path, "a"), None),
            (_folder(tmp_path, "b"), "5A" * 32),
            (_folder(tmp_path, "c"), "11" * 32),
        )
    )
    assert "MD5 stored in the image itself" in unchecked
    assert "this search did not take them again" in unchecked
    assert "SHA-256 stored in the image itself" in agreeing
    assert "is the same as the one taken now" in agreeing
    assert "Attention: the SHA-256 stored in the image by whoever made it is not the same" in differing


def test_a_shortened_search_says_what_it_left_out(tmp_path: Path) -> None:
    text = text_of(bare(tmp_path, run={"triage": "1"}).finish())
    assert "Shortened search (triage)" in text
    assert "Free space was not searched" in text


def test_the_method_says_only_what_was_done(tmp_path: Path) -> None:
    options = {**OPTIONS, "carve": False, "inside": False}
    text = text_of(bare(tmp_path, run={"options": json.dumps(options), "lists": "[]"}).finish())
    assert "Free space was not searched" in text
    assert "Archives and thumbnail caches were not opened" in text
    assert "The digests were compared" not in text


def test_interruptions_are_told_with_their_times(tmp_path: Path) -> None:
    text = text_of(bare(tmp_path, run={"interrupted": '["2026-06-30T23:10:00Z", "2026-06-30T23:20:00Z"]'}).finish())
    assert "interrupted and resumed 2 times (section 8)" in text
    assert "1 July 2026, 00:10:00 (Lisbon time, UTC+01:00); 2026-06-30 23:10:00 UTC" in text


def test_a_match_by_likeness_is_not_called_the_same(tmp_path: Path) -> None:
    made = bare(tmp_path)
    made.match(made.file("a.jpg"), method="pdq", distance=18, quality=92)
    text = text_of(made.finish())
    assert "similar by PDQ (distance 18), quality 92" in text
    assert "a qualified person must confirm it" in text
    assert "same, byte for byte" not in text


def test_a_match_that_a_stronger_digest_contradicts_is_marked(tmp_path: Path) -> None:
    made = bare(tmp_path)
    made.match(made.file("a.jpg"), method="md5", contradicted=1)
    text = text_of(made.finish())
    assert "In one match, a stronger digest of the same entry differs" in text
    assert "Attention: the list gives this entry a stronger digest too, and that one differs." in text


def test_a_training_examination_says_so_first(tmp_path: Path) -> None:
    text = text_of(everyday(tmp_path / "evidence.sqlite", order={"training": True}), "pt")
    assert text.index("Formação (TRAINING).") < text.index("Resumo")
    assert "Nunca pode ser junto a um processo como prova" in text
    (tmp_path / "evidence.sqlite").unlink()
    assert "TRAINING" not in text_of(everyday(tmp_path / "evidence.sqlite"), "pt")


def _folder(parent: Path, name: str) -> Path:
    place = parent / name
    place.mkdir()
    return place
