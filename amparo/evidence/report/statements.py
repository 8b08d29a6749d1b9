"""The report's own statements: what follows from the facts, as sentences and as rows of a label and a value."""

from __future__ import annotations

from datetime import date
from typing import NamedTuple

from markupsafe import Markup

from amparo.errors import AmparoError
from amparo.evidence.report.facts import Facts, Volume
from amparo.evidence.report.wording import Words, shown
from amparo.law.bodies import authority
from amparo.law.measures import Measure, measure
from amparo.translation import in_language

SECTIONS = (
    "order", "source", "volumes", "counts", "matches", "problems", "gathered", "interrupted", "lists", "how", "limits",
    "verify", "glossary",
)  # fmt: skip
_LISTS_IN_SUMMARY = 4
_LONG_SUMMARY = 1750  # characters; with more, the contents no longer fit below it on the first page
_WARNINGS = 20


class Row(NamedTuple):
    """A label and its value; ``kind`` is ``digest`` where the value is one."""

    label: Markup
    value: Markup
    kind: str = ""


def section(name: str) -> int:
    """The number of a section; the summary stands before them all and has none."""
    return SECTIONS.index(name) + 1


def law_of(facts: Facts) -> Measure | None:
    """The measure of the order as it was law on its day, or None where the tables here do not know it."""
    try:
        return measure(str(facts.order.get("measure")), on=facts.day("issued_on"))
    except AmparoError:
        return None


def name_of_measure(facts: Facts, words: Words) -> Markup:
    """What the law calls the measure, in the report's language."""
    law = law_of(facts)
    if law is None:
        return of_order(facts, "measure", words)
    return shown(law.name_pt if words.language == "pt" else law.name_en)


def of_order(facts: Facts, key: str, words: Words) -> Markup:
    """A field of the order, or that it was not recorded."""
    value = facts.order.get(key)
    return words("value.unknown") if value in (None, "") else shown(value)


def clipped(value: object, words: Words, longest: int = 110) -> Markup:
    """A value as a line of the first page has room for it; the whole of it stands further on."""
    if value in (None, ""):
        return words("value.unknown")
    text = str(value)
    return shown(text if len(text) <= longest else text[:longest] + "…")


def is_confirmed(facts: Facts) -> bool:
    """Whether a jurist had confirmed the law's row when the search was made."""
    return facts.order.get("confirmed_by_jurist") is True


def summary(facts: Facts, words: Words) -> list[Markup]:
    """What a magistrate reads first, a paragraph each."""
    return [Markup(" ").join(part) for part in (_who(facts, words), _when(facts, words), _what(facts, words)) if part]


def matched(facts: Facts, words: Words) -> tuple[Markup, list[Markup]]:
    """How many files match, and with which lists."""
    if not facts.matched:
        if not facts.lists:
            return words("summary.known_none"), []
        if all(known.good for known in facts.lists):
            return words("summary.known_good_only"), []
        return words("summary.matches_none"), []
    lines = []
    for found in facts.matched[:_LISTS_IN_SUMMARY]:
        named = [
            words("matches.in_category", category=clipped(category, words, 30)) + f": {words.number(count)}"
            for category, count in found.categories[:4]
            if category is not None
        ]
        told = len(named) == len(found.categories)
        categories = Markup(" ({})").format(words("value.list_join").join(named)) if named and told else Markup()
        lines.append(words("summary.of_list", n=found.files, list=clipped(found.name, words), categories=categories))
    left = len(facts.matched) - len(lines)
    if left:
        lines.append(words("summary.lists_more", n=left, section=section("matches")))
    else:
        lines[-1] = Markup(lines[-1].removesuffix(";") + ".")  # noqa: S704 - it was escaped when it was made
    return words("summary.matches", n=facts.matched_files), lines


def remarks(facts: Facts, words: Words) -> list[Markup]:
    """What the summary says after the matches, a paragraph each."""
    said: list[Markup] = []
    meaning = []
    if facts.methods & {"md5", "sha1", "sha256"}:
        meaning.append(words("summary.meaning_exact"))
    if facts.methods & {"pdq", "vpdq"}:
        meaning.append(words("summary.meaning_similar"))
    if facts.contradicted:
        meaning.append(words("summary.contradicted", n=facts.contradicted))
    if meaning:
        said.append(Markup(" ").join(meaning))
    if facts.review:
        said.append(words("summary.review", n=facts.review))
    rest = [words(f"summary.{integrity(facts)[0]}")]
    if facts.problems:
        rest.append(words("summary.problems", n=facts.problems, section=section("problems")))
    else:
        rest.append(words("summary.problems_none"))
    if facts.gathered:
        rest.append(words("summary.gathered", n=facts.gathered))
    if facts.interrupted:
        rest.append(words("summary.interrupted", n=len(facts.interrupted), section=section("interrupted")))
    said.append(Markup(" ").join(rest))
    return said


def is_long(facts: Facts, words: Words) -> bool:
    """Whether the summary fills the first page by itself."""
    said, lines = matched(facts, words)
    whole = [*summary(facts, words), said, *lines, *remarks(facts, words)]
    return sum(max(len(text.striptags()), 90) for text in whole) > _LONG_SUMMARY


def integrity(facts: Facts) -> tuple[str, str]:
    """Whether the source stayed the same, as the keys of a sentence for the summary and of one for the section."""
    before, after = facts.run.get("source_sha256_before"), facts.run.get("source_sha256_after")
    if facts.run.get("source_format") == "folder":
        return "folder", "folder"
    if before and after:
        return ("same", "agree") if before == after else ("changed", "differ")
    asked = facts.options.get("source_digest")
    if before:
        return "once", "once" if asked == "once" else "failed_after"
    return "untaken", "asked_none" if asked == "none" else "failed"


def order_rows(facts: Facts, words: Words) -> list[Row]:
    """The order, the case, the exhibit and who examined it."""
    law = law_of(facts)
    article = of_order(facts, "article", words)
    if not is_confirmed(facts):
        article = Markup("{} <span class=unconfirmed>({})</span>").format(article, words("order.unconfirmed"))
    lapses = facts.day("lapses_on")
    term = _day(lapses, words) if lapses or law is None or law.valid_for else words("order.no_term")
    if lapses and law and law.valid_for is None:
        term = _day(lapses, words)
    rows = [
        Row(words("order.case"), of_order(facts, "case_number", words)),
        Row(words("order.reference"), of_order(facts, "reference", words)),
        Row(words("order.issued_by"), of_order(facts, "issued_by", words)),
        Row(words("order.authority"), _name_of_authority(facts, words)),
        Row(words("order.measure"), name_of_measure(facts, words)),
        Row(words("order.article"), article),
        Row(words("order.issued_on"), _day(facts.day("issued_on"), words)),
    ]
    if able := facts.day("able_to_search_on"):
        rows.append(Row(words("order.able"), words.day(able)))
    rows.append(Row(words("order.lapses"), term))
    exhibit = Markup("{}: {}").format(
        of_order(facts, "exhibit_number", words), of_order(facts, "exhibit_description", words)
    )
    rows += [
        Row(words("order.exhibit"), exhibit),
        Row(words("order.examiner"), of_order(facts, "examiner_name", words)),
        Row(words("order.agency"), of_order(facts, "examiner_agency", words)),
        Row(words("order.started"), _moment(facts, "started", words)),
        Row(words("order.finished"), _moment(facts, "finished", words)),
    ]
    if digest := facts.order.get("sha256") or facts.run.get("order_sha256"):
        rows.append(Row(words("order.digest"), shown(digest), "digest"))
    return rows


def order_warnings(facts: Facts, words: Words) -> list[Markup]:
    """What was odd about the order's file."""
    found = facts.order.get("warnings")
    warnings = found if isinstance(found, list) else []
    said = [shown(in_language(str(warning), words.language)) for warning in warnings[:_WARNINGS]]
    if len(warnings) > _WARNINGS:
        said.append(words("order.more_warnings", n=len(warnings) - _WARNINGS))
    return said


def source_rows(facts: Facts, words: Words) -> list[Row]:
    """What was searched, and its digests."""
    rows = [
        Row(words("source.name"), shown(facts.run.get("source") or words("value.unknown"))),
        Row(words("source.format"), words.named("format", facts.run.get("source_format"))),
    ]
    size = facts.number("source_size")
    if size is not None:
        rows.append(Row(words("source.size"), words.size_exact(size)))
    for key, label in (("source_sha256_before", "source.before"), ("source_sha256_after", "source.after")):
        if value := facts.run.get(key):
            rows.append(Row(words(label), shown(value), "digest"))
    for key, value in sorted(facts.run.items()):
        if key.startswith("source_") and key.endswith("_stored") and value:
            name = key.removeprefix("source_").removesuffix("_stored").upper().replace("SHA", "SHA-")
            rows.append(Row(words("source.stored", digest=name), shown(value), "digest"))
    return rows


def stored(facts: Facts) -> str | None:
    """The key of a sentence on the digests that the image itself carries, or None where it carries none."""
    kept = [key for key, value in facts.run.items() if key.startswith("source_") and key.endswith("_stored") and value]
    if not kept:
        return None
    before, told = facts.run.get("source_sha256_before"), facts.run.get("source_sha256_stored")
    if not before or not told:
        return "stored_unchecked"
    return "stored_agrees" if before == told.lower() else "stored_differs"


def layers(volume: Volume, words: Words) -> Markup:
    """What lies between the source and a volume's file system, outermost first."""
    return Markup(" › ").join(words.named("layer", layer) for layer in volume.layers)


def how(facts: Facts, words: Words) -> list[Markup]:
    """What was done, in the order it was done."""
    options, folder = facts.options, facts.run.get("source_format") == "folder"
    carved = options.get("carve", True) and not folder and facts.run.get("triage") != "1"
    said = [words("how.law"), words("how.read_only"), words("how.one_read")]
    if not folder:
        said.append(words("how.deleted"))
    said.append(words("how.carved") if carved else words("how.no_carve"))
    if options.get("inside", True):
        said.append(words("how.inside", section=section("problems")))
    else:
        said.append(words("how.no_inside"))
    if options.get("fingerprints", False):
        said.append(words("how.fingerprints", pictures=words.number(facts.pictures), films=words.number(facts.films)))
    if facts.lists:
        said.append(words("how.compare", section=section("lists")))
    said.append(words("how.limits", section=section("problems")))
    return said


def _who(facts: Facts, words: Words) -> list[Markup]:
    def of(key: str) -> Markup:
        return clipped(facts.order.get(key), words)

    article = of("article")
    if not is_confirmed(facts):
        article = Markup("{}, {}").format(article, words("order.unconfirmed"))
    return [
        words(
            "summary.act", examiner=of("examiner_name"), agency=of("examiner_agency"), exhibit=of("exhibit_number"),
            description=of("exhibit_description"), case=of("case_number"),
        ),
        words(
            "summary.order", reference=of("reference"), issued_on=_day(facts.day("issued_on"), words),
            issued_by=of("issued_by"), measure=name_of_measure(facts, words), article=article,
        ),
    ]  # fmt: skip


def _when(facts: Facts, words: Words) -> list[Markup]:
    started, finished = facts.moment("started"), facts.moment("finished")
    if started is None:
        return [words("summary.when_unknown")]
    if finished is None:
        said = [words("summary.when_unfinished", started=words.short(started))]
    else:
        said = [words("summary.when", started=words.short(started), finished=words.short(finished))]
    first = facts.day("able_to_search_on") or facts.day("issued_on")
    if first and words.lisbon_day(started) < first:
        said.append(words("summary.early", **{"from": words.day(first)}))
    lapses = facts.day("lapses_on")
    if lapses is None:
        law = law_of(facts)
        if law is not None and law.valid_for is None:
            said.append(words("summary.no_term"))
    elif finished is not None:
        key = "summary.in_time" if words.lisbon_day(finished) <= lapses else "summary.late"
        said.append(words(key, lapses=words.day(lapses)))
    return said


def _what(facts: Facts, words: Words) -> list[Markup]:
    source = clipped(facts.run.get("source"), words)
    if facts.run.get("source_format") == "folder":
        said = [words("summary.whole_folder", source=source)]
    else:
        size = facts.number("source_size")
        said = [
            words(
                "summary.whole_disk", source=source, format=words.named("format", facts.run.get("source_format")),
                size=words("value.unknown") if size is None else words.size(size),
            )
        ]  # fmt: skip
    if facts.files:
        states = words.listed([
            Markup("{}\u00a0{}").format(
                words.number(tally.files), words.named("state_one" if tally.files == 1 else "state", tally.key)
            )
            for tally in facts.by_state
        ])  # fmt: skip
        said.append(words("summary.found", n=facts.files, states=states))
    else:
        said.append(words("summary.nothing_found"))
    if facts.run.get("triage") == "1":
        said.append(words("summary.triage"))
    return said


def _name_of_authority(facts: Facts, words: Words) -> Markup:
    try:
        body = authority(str(facts.order.get("authority")))
    except AmparoError:
        return of_order(facts, "authority", words)
    return shown(body.name_pt if words.language == "pt" else body.name_en)


def _day(value: date | None, words: Words) -> Markup:
    return words("value.unknown") if value is None else words.day(value)


def _moment(facts: Facts, key: str, words: Words) -> Markup:
    found = facts.moment(key)
    return words("value.unknown") if found is None else words.moment(found)


def reason(value: str, words: Words) -> Markup:
    """Why a content was gathered: ``match``, ``source`` or ``pattern: …``."""
    if value.startswith("pattern: "):
        return words("gathered.pattern", pattern=value.removeprefix("pattern: "))
    return words.named("gathered", value)
