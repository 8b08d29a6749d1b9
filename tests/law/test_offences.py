"""The offences, row by row, and the law of the date of the case."""

from __future__ import annotations

from datetime import date

import pytest

from amparo.errors import UsedWrongly
from amparo.law.offences import offence, offences, offences_on

Y = 12  # months

# Article: penalties in months (least, most), age of the victim (from, under), and the conventions' articles.
LAW = {
    "abuse_of_children": (
        "171",
        [(1 * Y, 8 * Y), (3 * Y, 10 * Y), (None, 3 * Y), (6, 5 * Y)],
        (None, 14),
        ("18(1)(a), 22", "3(2)-(4)", ""),
    ),
    "abuse_of_dependent_minors": (
        "172",
        [(1 * Y, 8 * Y), (None, 1 * Y), (None, 5 * Y)],
        (14, 18),
        ("18(1)(b)", "3(5)", ""),
    ),
    "acts_with_adolescents": ("173", [(None, 2 * Y), (None, 3 * Y)], (14, 16), ("partial", "partial", "")),
    "recourse_to_prostitution": ("174", [(None, 2 * Y), (None, 3 * Y)], (14, 18), ("19(1)(c)", "4(7)", "")),
    "procuring_of_minors": ("175", [(1 * Y, 8 * Y), (2 * Y, 10 * Y)], (None, 18), ("19(1)(a)-(b)", "4(5)-(6)", "")),
    "material": ("176(1)", [(1 * Y, 5 * Y)], (None, 18), ("20, 21", "4, 5", "9")),
    "material_for_profit": ("176(2)", [(1 * Y, 8 * Y)], (None, 18), ("20, 21", "4, 5", "9")),
    "material_with_violence": ("176(3)", [(1 * Y, 8 * Y)], (None, 18), ("20, 21", "4, 5", "9")),
    "material_realistic": ("176(4)", [(None, 2 * Y)], (None, 18), ("20", "5", "9(2)(c)")),
    "material_holding": ("176(5)", [(None, 2 * Y)], (None, 18), ("20(1)(e)-(f)", "5(2)-(3)", "9(1)(d)-(e)")),
    "performance": ("176(6)", [(None, 3 * Y)], (None, 18), ("21", "4(4)", "")),
    "grooming": ("176-A", [(None, 1 * Y), (None, 2 * Y)], (None, 18), ("23", "6", "")),
    "travel": ("176-B", [(None, 3 * Y)], (None, 18), ("", "21", "")),
}
BASIS = {"abuse_of_dependent_minors": "M"}  # every other offence: S


@pytest.mark.parametrize("key", LAW)
def test_an_offence_has_the_article_penalties_ages_and_conventions_of_todays_law(key: str):
    article, penalties, ages, conventions = LAW[key]
    row = offence(key)
    assert row.article == f"Código Penal, art. {article}"
    assert [(one.from_months, one.up_to_months) for one in row.penalties] == penalties
    assert (row.victim_from, row.victim_under) == ages
    assert (row.lanzarote, row.directive_2011_93, row.budapest) == conventions
    assert row.basis == BASIS.get(key, "S") and not row.checked


def test_there_is_no_offence_beyond_those_listed_here():
    assert {row.key for row in offences() if row.kind == "offence"} == set(LAW)
    assert {row.kind for row in offences()} == {"offence", "aggravation", "accessory_ban"}


def test_penalties_rise_and_forms_of_one_offence_are_told_apart():
    for row in offences():
        assert bool(row.penalties) == (row.kind == "offence"), row.key
        for penalty in row.penalties:
            assert 0 < (penalty.from_months or 1) < penalty.up_to_months <= 25 * Y
        assert len({one.form_en for one in row.penalties}) == len({one.form_pt for one in row.penalties})
        assert len({one.form_en for one in row.penalties}) == len(row.penalties), row.key


def test_a_case_of_february_2024_is_aggravated_by_177_7_and_one_of_march_by_177_8():
    before, after = date(2024, 2, 29), date(2024, 3, 1)
    assert offence("aggravation_under_14", before).article == "Código Penal, art. 177(7)"
    assert offence("aggravation_under_14", after).article == "Código Penal, art. 177(8)"
    assert offence("aggravation_under_16", before).article == "Código Penal, art. 177(6)"
    assert offence("aggravation_under_16", after).article == "Código Penal, art. 177(7)"
    assert offence("aggravation_under_14").article == "Código Penal, art. 177(8)", "no date given: the newest"


def test_one_article_number_can_mean_two_things_on_two_days_but_one_on_each():
    for day in (date(2010, 1, 1), date(2024, 2, 29), date(2024, 3, 1), date(2026, 11, 20)):
        articles = [row.article for row in offences_on(day)]
        assert len(articles) == len(set(articles)), day
    seven = {day: [row.key for row in offences_on(day) if row.article.endswith("177(7)")] for day in
             (date(2024, 2, 29), date(2024, 3, 1))}  # fmt: skip
    assert list(seven.values()) == [["aggravation_under_14"], ["aggravation_under_16"]]


def test_holding_was_punished_less_before_2015():
    assert offence("material_holding", date(2015, 9, 22)).penalties[0].up_to_months == 12
    assert offence("material_holding", date(2015, 9, 23)).penalties[0].up_to_months == 24


def test_an_offence_before_it_was_law_is_an_error_that_names_the_days():
    with pytest.raises(UsedWrongly, match=r"was not law on 31 Aug 2020 .* from 1 Sep 2020; check the date\.$"):
        offence("travel", date(2020, 8, 31))


def test_bans_and_aggravations_are_not_offences_and_bans_are_not_automatic():
    for key, article in (("ban_from_functions", "69-B"), ("ban_from_custody", "69-C")):
        assert offence(key).kind == "accessory_ban" and offence(key).automatic is False
        assert offence(key).article == f"Código Penal, art. {article}"
    assert offence("aggravation_under_14").factor == "1/2" and offence("aggravation_under_16").factor == "1/3"


def test_the_historic_words_of_the_statute_stand_in_the_portuguese_name_only():
    for row in offences():
        assert "pornogra" not in row.name_en.lower()
