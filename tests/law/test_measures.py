"""The measures, row by row: who orders, what it authorises, for how long; the terms and duties that go with them."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta

import pytest

from amparo.errors import UsedWrongly
from amparo.law.bodies import authority
from amparo.law.counting import Length
from amparo.law.deadlines import deadline, deadlines, deadlines_on
from amparo.law.duties import duties_on, duty
from amparo.law.measures import measure, measures, measures_authorising, measures_on

# key: article, ordered by, in urgency by, authorises, term, basis
LAW = {
    "preservation": ("Lei 109/2009, art. 12", "judicial_authority", "police", "preserve", Length(months=3), "V"),
    "provider_disclosure": ("Lei 109/2009, art. 13", "judicial_authority", "police", "demand", None, "V"),
    "production_injunction": ("Lei 109/2009, art. 14", "judicial_authority", "", "demand", None, "V"),
    "search": ("Lei 109/2009, art. 15", "judicial_authority", "", "search gather", Length(days=30), "V"),
    "seizure": ("Lei 109/2009, art. 16", "judicial_authority", "police", "search gather", None, "V"),
    "mail_seizure": ("Lei 109/2009, art. 17", "judge", "", "gather_mail", None, "V"),
    "interception": ("Lei 109/2009, art. 18", "judge", "", "intercept", None, "V"),
    "covert_operation": (
        "Lei 109/2009, art. 19; Lei 101/2001, art. 3", "public_prosecution", "", "operate_undercover", None, "M",
    ),
    "covert_operation_outside_inquiry": (
        "Lei 109/2009, art. 19; Lei 101/2001, art. 3(4)", "judge", "", "operate_undercover", None, "M",
    ),
    "blocking_list": ("Decreto-Lei 7/2004, art. 19-B", "competent_authority", "", "block", None, "S"),
    "epoc": ("Reg. (EU) 2023/1543, arts. 4, 5, 10", "issuing_authority", "", "demand", None, "V"),
    "epoc_pr": ("Reg. (EU) 2023/1543, arts. 6, 11", "issuing_authority", "", "preserve", Length(days=60), "V"),
    "dsa_order_to_act": (
        "Reg. (EU) 2022/2065, art. 9", "judicial_authority competent_authority", "", "demand_removal", None, "M",
    ),
    "dsa_order_for_information": (
        "Reg. (EU) 2022/2065, art. 10", "judicial_authority competent_authority", "", "demand", None, "M",
    ),
    "budapest_preservation": ("Budapest Convention (ETS 185), art. 16", "", "", "preserve", Length(days=90), "M"),
    "budapest_disclosure": ("Budapest Convention (ETS 185), art. 17", "", "", "demand", None, "M"),
    "budapest_production": ("Budapest Convention (ETS 185), art. 18", "", "", "demand", None, "M"),
    "budapest_search": ("Budapest Convention (ETS 185), art. 19", "", "", "", None, "M"),
}  # fmt: skip

# key: length, basis
TERMS = {
    "preservation_at_most": (Length(months=12), "V"),
    "seizure_validation": (Length(hours=72), "V"),
    "covert_validation": (Length(hours=72), "M"),
    "covert_report": (Length(hours=48), "M"),
    "blocking": (Length(hours=48), "S"),
    "register_up_to_1_year": (Length(months=60), "S"),
    "register_up_to_5_years": (Length(months=120), "S"),
    "register_up_to_10_years": (Length(months=180), "S"),
    "register_over_10_years": (Length(months=240), "S"),
    "epoc": (Length(days=10), "V"),
    "epoc_emergency": (Length(hours=8), "V"),
    "epoc_emergency_validation": (Length(hours=48), "M"),
    "epoc_objection": (Length(hours=96), "M"),
    "epoc_pr_extension": (Length(days=30), "V"),
}


@pytest.mark.parametrize("key", LAW)
def test_a_measure_has_the_article_authority_acts_and_term_of_the_law(key: str):
    article, ordered_by, urgent_by, authorises, term, basis = LAW[key]
    row = measure(key)
    assert (row.article, row.ordered_by, row.urgent_by) == (
        article,
        tuple(ordered_by.split()),
        tuple(urgent_by.split()),
    )
    assert (row.authorises, row.valid_for, row.basis) == (tuple(authorises.split()), term, basis)
    assert (row.counts_from != "") == (term is not None)


def test_there_is_no_measure_and_no_deadline_beyond_those_listed_here():
    assert {row.key for row in measures()} == set(LAW)
    assert {row.key for row in deadlines()} == set(TERMS) | {f"{key}_term" for key, row in LAW.items() if row[4]}


@pytest.mark.parametrize("key", TERMS)
def test_a_deadline_is_as_long_as_the_law_says(key: str):
    assert (deadline(key).length, deadline(key).basis) == TERMS[key]


def test_a_search_counts_from_the_day_the_police_can_search():
    assert measure("search").counts_from == "able_to_search"
    assert deadline("search_term").length == Length(days=30)


def test_e_mail_is_seized_by_a_judges_order_only():
    assert measure("mail_seizure").may_be_ordered_by(authority("judge"))
    assert not measure("mail_seizure").may_be_ordered_by(authority("public_prosecution"))
    assert not measure("search").may_be_ordered_by(authority("police"))
    assert measure("seizure").may_be_urgent_by(authority("police"))


def test_what_authorises_an_act_is_never_a_convention_that_nobody_orders():
    assert [row.key for row in measures_authorising("search")] == ["search", "seizure"]
    assert all(row.ordered_by for act in ("preserve", "demand") for row in measures_authorising(act))
    with pytest.raises(UsedWrongly, match='"look" is not an act'):
        measures_authorising("look")


def test_the_limits_of_the_law_are_written_with_each_measure():
    for key, words in {
        "production_injunction": ("suspect", "lawyers, doctors, banks or journalists"),
        "search": ("presides",),
        "seizure": ("validated", "intimate data goes to the judge, or is null", "four forms", "duplicate", "secretary"),
        "preservation": ("renewable", "urgency"),
        "interception": ("CPP art. 187",),
        "covert_operation": ("under 16", "silence validates"),
        "blocking_list": ("Prosecutor General", "users are told why", "court"),
        "epoc_pr": ("Annex VI", "Annex V"),
    }.items():
        for word in words:
            assert word in " ".join(measure(key).limits), f"{key}: {word}"


def test_measures_and_deadlines_exist_only_once_they_are_law():
    assert "search" not in {row.key for row in measures_on(date(2009, 10, 14))}
    assert "search" in {row.key for row in measures_on(date(2009, 10, 15))}
    assert "epoc" not in {row.key for row in deadlines_on(date(2026, 8, 17))}
    assert "epoc" in {row.key for row in deadlines_on(date(2026, 8, 18))}
    with pytest.raises(UsedWrongly, match="was not law on 17 Aug 2026"):
        measure("epoc", date(2026, 8, 17))


def test_a_seizure_by_the_police_is_validated_in_72_hours_to_the_second():
    running = deadline("seizure_validation").running_from(datetime(2026, 10, 24, 22, 0, tzinfo=UTC))
    assert running.due == datetime(2026, 10, 27, 22, 0, tzinfo=UTC)
    assert not running.is_late(running.due) and running.is_late(running.due + timedelta(seconds=1))
    assert running.left(running.due - timedelta(hours=2)) == timedelta(hours=2)
    assert running.left(running.due + timedelta(hours=2)) == timedelta(hours=-2)


def test_a_preservation_of_three_months_ends_at_midnight_in_lisbon():
    end = deadline("preservation_term").due(datetime(2026, 4, 30, 23, 30, tzinfo=UTC))
    # 23:30 UTC is half past midnight on 1 May in Lisbon.
    assert end == datetime(2026, 8, 1, 23, 0, tzinfo=UTC) - timedelta(microseconds=1)


def test_providers_are_fined_as_the_decree_says():
    fines = {(fine.fault, fine.from_eur, fine.up_to_eur) for fine in duty("provider_informs").fines}
    assert (
        fines == {("intent", 5_000, 100_000), ("negligence", 2_500, 50_000)} and duty("provider_informs").basis == "S"
    )


def test_the_duties_say_what_the_notes_of_law_say():
    assert duty("journal").particulars == (
        "collection", "alteration", "consultation", "disclosure or transfer", "interconnection", "erasure", "restriction",
    )  # fmt: skip
    for key, words in {
        "journal": ("reason, date, time, person and recipients", "lawfulness, self-control, discipline, integrity"),
        "hearing_for_future_memory": ("always", "during the inquiry", "informal and reserved setting"),
        "victim_told_apart": ("before anybody knows their name",),
        "foreign_reports": ("then pass them to the territorial prosecution office",),
        "provider_informs": ("as soon as it knows",),
        "threat_to_life": ("Member State concerned, else the State of establishment or Europol",),
    }.items():
        for word in words:
            assert word in duty(key).must, f"{key}: {word}"
    assert "uncertain age is presumed child" in duty("victim_statute").particulars
    assert "heard once: warn before a second hearing" in duty("hearing_for_future_memory").particulars
    assert {"same interviewer", "as few interviews as possible", "recording"} <= set(
        duty("child_interviews").particulars
    )
    assert "exact URL" in duty("notice").particulars and "redress" in duty("statement_of_reasons").particulars
    assert "provider_informs" not in {row.key for row in duties_on(date(2020, 8, 31))}
