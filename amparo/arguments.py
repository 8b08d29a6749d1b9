"""What may be typed after ``amparo``: every command and option, and what is said where something else was typed."""

from __future__ import annotations

import argparse
from pathlib import Path

import amparo
from amparo.parsing import Parser, a_count, a_path, a_place, a_radius, between, seconds


def build_parser() -> Parser:
    """Every command and option; a test holds the documentation against this."""
    parser = Parser(
        prog="amparo", description="Searches computers lawfully, matches what they hold, and seals the evidence."
    )
    parser.add_argument("--version", action="version", version=f"amparo {amparo.__version__}")
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND", parser_class=Parser)
    _add_search(commands)

    verify = commands.add_parser("verify", help="check a package and name the first thing that is wrong")
    verify.add_argument("package", type=a_path, metavar="PACKAGE")
    verify.add_argument(
        "--fingerprint",
        metavar="HEX",
        help="of the examiner's key, as the examiner handed it over: another key's seal is then wrong",
    )
    verify.add_argument(
        "--authority",
        type=a_path,
        action="append",
        default=[],
        metavar="CERTIFICATE",
        help="the root certificate (PEM or DER) of a time-stamp authority that is trusted; may be repeated",
    )
    verify.add_argument("--json", action="store_true", help="print the result for programs")

    report = commands.add_parser("report", help="write a package's report again, as HTML and PDF")
    report.add_argument("package", type=a_path, metavar="PACKAGE")
    report.add_argument("--language", choices=("pt", "en"), default="pt", help="the report's language (default: pt)")

    report.add_argument(
        "--fingerprint",
        metavar="HEX",
        help="of the key that sealed the package, where it is not your own: as its examiner handed it over",
    )

    export = commands.add_parser("export", help="write a package's tables in a standard format")
    export.add_argument("package", type=a_path, metavar="PACKAGE")
    export.add_argument(
        "--format", required=True, choices=("case", "vics", "dfxml", "timeline", "csv"), help="what to write"
    )
    export.add_argument(
        "--version", dest="format_version", metavar="V", help="of the format, where there are several: VICS 1.3 or 2.0"
    )
    export.add_argument(
        "--out", type=a_path, required=True, metavar="FILE", help="the file to write; it must not exist"
    )

    seal = commands.add_parser("seal", help="make the sealed duplicate for the judicial secretary")
    seal.add_argument("package", type=a_path, metavar="PACKAGE")
    seal.add_argument(
        "--duplicate",
        type=a_path,
        required=True,
        metavar="OUT",
        help="where the duplicate goes, such as an empty USB disk",
    )
    seal.add_argument("--to", default="", metavar="WHO", help="who receives it")

    order = commands.add_parser("order", help="check an order file, or print an example to fill in")
    order.add_argument("file", type=a_path, nargs="?", metavar="ORDER.toml")
    order.add_argument("--json", action="store_true", help="print what was read for programs")

    _add_known(commands)
    _add_provider(commands)

    demo = commands.add_parser("demo", help="the whole road on generated data")
    demo.add_argument(
        "--out", type=a_path, default=Path("demo"), metavar="FOLDER", help="where to write (default: demo)"
    )
    demo.add_argument("--language", choices=("pt", "en"), default="pt", help="the report's language (default: pt)")
    return parser


def _add_known(commands: argparse._SubParsersAction[Parser]) -> None:
    known = commands.add_parser("known", help="lists of known material: an index of them, and what it knows")
    verbs = known.add_subparsers(dest="verb", required=True, metavar="VERB", parser_class=Parser)

    take = verbs.add_parser("import", help="take lists into an index")
    take.add_argument("lists", type=a_path, nargs="+", metavar="LIST")
    take.add_argument(
        "--into", type=a_path, required=True, metavar="INDEX", help="the index's folder; made where there is none"
    )
    take.add_argument("--replace", action="store_true", help="put a list in the place of the one of the same name")

    remove = verbs.add_parser("remove", help="take a list out of an index")
    remove.add_argument("name", metavar="NAME")
    remove.add_argument("--index", type=a_path, required=True, metavar="INDEX", help="the index's folder")

    stats = verbs.add_parser("stats", help="say what an index holds")
    stats.add_argument("index", type=a_path, metavar="INDEX")
    stats.add_argument(
        "--check", action="store_true", help="read every byte of it and hold it against what was written"
    )

    match = verbs.add_parser("match", help="say what an index knows of files, or of digests and fingerprints")
    match.add_argument(
        "paths",
        type=a_place,
        nargs="*",
        metavar="PATH",
        help="files, folders, tar archives, Parquet tables of digests, or buckets (s3://bucket/prefix)",
    )
    match.add_argument("--index", type=a_path, required=True, metavar="INDEX", help="the index's folder, or a list")
    match.add_argument(
        "--hashes",
        type=a_path,
        metavar="FILE",
        help="a digest or fingerprint on each line, asked instead of files; - for standard input",
    )
    match.add_argument(
        "--radius",
        type=a_radius,
        default=31,
        metavar="BITS",
        help="how far a fingerprint may be from a known one (default 31)",
    )

    match.add_argument(
        "--out", type=a_path, metavar="RESULTS", help="write a line of JSON for each file, known or not, to a new file"
    )
    match.add_argument("--resume", action="store_true", help="go on with results that were interrupted")

    fingerprint = verbs.add_parser("fingerprint", help="the fingerprints of pictures")
    fingerprint.add_argument("paths", type=a_place, nargs="+", metavar="PATH")
    for verb in (match, fingerprint):
        verb.add_argument("--endpoint-url", metavar="URL", help="the server of a bucket, where it is not Amazon's")
        verb.add_argument(
            "--engine",
            metavar="ADDRESS",
            help="work on a cluster of Ray: local, auto, HOST:PORT or ray://HOST:PORT",
        )
        verb.add_argument("--workers", type=a_count, metavar="N", help="how many processes work (default: one a core)")
    for verb in (take, remove, stats, match, fingerprint):
        verb.add_argument("--json", action="store_true", help="print the result for programs")


def _add_provider(commands: argparse._SubParsersAction[Parser]) -> None:
    provider = commands.add_parser(
        "provider", help="the match service for a provider, and the keys of those who ask it"
    )
    verbs = provider.add_subparsers(dest="verb", required=True, metavar="VERB", parser_class=Parser)

    serve = verbs.add_parser("serve", help="answer over HTTP whether material is known")
    serve.add_argument("--index", type=a_path, required=True, metavar="INDEX", help="the index's folder")
    serve.add_argument("--audit", type=a_path, metavar="FILE", help="where a line is written for each match")
    serve.add_argument(
        "--audit-asked", action="store_true", help="keep in it the digest or fingerprint that was asked for too"
    )
    serve.add_argument("--host", default="127.0.0.1", metavar="ADDRESS", help="listen on it (default 127.0.0.1)")
    serve.add_argument(
        "--port", type=between(0, 65535), default=8470, metavar="N", help="listen on it (default 8470; 0: any free one)"
    )
    serve.add_argument("--tls-certificate", type=a_path, metavar="FILE", help="a certificate and its chain (PEM)")
    serve.add_argument("--tls-key", type=a_path, metavar="FILE", help="the certificate's private key (PEM)")
    serve.add_argument(
        "--behind-proxy", action="store_true", help="something in front speaks TLS: listen on any address without it"
    )
    serve.add_argument("--workers", type=a_count, metavar="N", help="how many processes answer (default: one a core)")
    serve.add_argument(
        "--decoders",
        type=a_count,
        metavar="N",
        help="how many processes each of them has for pictures (default: the cores' share)",
    )
    serve.add_argument(
        "--radius",
        type=a_radius,
        default=31,
        metavar="BITS",
        help="how far a fingerprint may be from a known one (default 31)",
    )
    serve.add_argument(
        "--most-items", type=between(1, 100_000), default=1000, metavar="N", help="asked in one request (default 1000)"
    )
    serve.add_argument(
        "--most-picture",
        type=between(1, 1 << 28),
        default=32 << 20,
        metavar="BYTES",
        help="of one picture (default 33554432)",
    )
    serve.add_argument(
        "--seconds-a-picture", type=seconds, default=10.0, metavar="S", help="the longest one may take (default 10)"
    )

    serve.add_argument(
        "--seconds-a-body",
        type=seconds,
        default=30.0,
        metavar="S",
        help="in which a request must have come (default 30)",
    )

    key = verbs.add_parser("key", help="make, list and revoke keys")
    acts = key.add_subparsers(dest="act", required=True, metavar="ACT", parser_class=Parser)
    make = acts.add_parser("make", help="make a key, and print it this once")
    make.add_argument("name", metavar="NAME")
    make.add_argument(
        "--scope", action="append", default=[], metavar="SCOPE",
        help="match, match:list, match:category, match:entry, match:how or metrics; may be repeated",
    )  # fmt: skip
    make.add_argument(
        "--list", action="append", default=[], metavar="LIST", help="a list that it may see; may be repeated"
    )
    make.add_argument("--every-list", action="store_true", help="it may see all lists, those to come too")
    make.add_argument(
        "--per-minute",
        type=between(0, 1 << 40),
        default=60_000,
        metavar="N",
        help="look-ups in a minute (default 60000)",
    )
    make.add_argument(
        "--per-day",
        type=between(0, 1 << 40),
        default=10_000_000,
        metavar="N",
        help="look-ups in a day (default 10000000)",
    )
    make.add_argument(
        "--at-once",
        type=between(1, 10_000),
        default=16,
        metavar="N",
        help="requests at work in each process (default 16)",
    )
    make.add_argument(
        "--days", type=between(1, 36_500), metavar="N", help="how long it lasts (default: until it is revoked)"
    )
    show = acts.add_parser("list", help="the keys, without what opens")
    revoke = acts.add_parser("revoke", help="refuse a key from now on, by a running service too")
    revoke.add_argument("id", metavar="ID")
    for verb in (serve, make, show, revoke):
        verb.add_argument("--keys", type=a_path, metavar="FILE", help="the file of keys (default: the user's own)")
    for verb in (make, show, revoke):
        verb.add_argument("--json", action="store_true", help="print the result for programs")


def _add_search(commands: argparse._SubParsersAction[Parser]) -> None:
    search = commands.add_parser("search", help="search a folder or a disk image and write an evidence package")
    search.add_argument(
        "source", type=a_path, metavar="SOURCE", help="a folder, a disk image, or a device such as /dev/sdb"
    )
    search.add_argument(
        "--order", type=a_path, required=True, metavar="ORDER.toml", help="the order that allows this search"
    )
    search.add_argument(
        "--out", type=a_path, required=True, metavar="PACKAGE", help="the folder to write; it must not exist yet"
    )
    search.add_argument(
        "--known",
        type=a_path,
        action="append",
        default=[],
        metavar="LIST",
        help="a list of known material; may be repeated",
    )
    search.add_argument(
        "--recipient",
        action="append",
        default=[],
        metavar="KEY",
        help="an age key, or a file of them, that may open what is gathered; may be repeated",
    )
    search.add_argument(
        "--gather",
        action="append",
        default=[],
        metavar="PATTERN",
        help="gather files whose path matches, such as '*.docx'; may be repeated",
    )
    search.add_argument(
        "--key",
        action="append",
        default=[],
        metavar="KEY",
        help="a password, recovery key or key file (@FILE) of an encrypted volume; may be repeated",
    )
    search.add_argument("--workers", type=a_count, metavar="N", help="how many processes work (default: one a core)")
    search.add_argument(
        "--engine",
        metavar="ADDRESS",
        help="work on a cluster of Ray: local, auto, HOST:PORT or ray://HOST:PORT",
    )
    search.add_argument("--resume", action="store_true", help="go on with a run that was interrupted")
    search.add_argument("--triage", action="store_true", help="stop after pictures, films and people's folders")
    search.add_argument("--no-carve", action="store_true", help="leave free space alone")
    search.add_argument("--no-inside", action="store_true", help="do not open archives and thumbnail caches")
    search.add_argument("--no-fingerprints", action="store_true", help="take no fingerprints of pictures and films")
    search.add_argument("--no-pdf", action="store_true", help="write the report as HTML only")
    search.add_argument(
        "--source-digest",
        choices=("both", "once", "none"),
        default="both",
        help="take the source's digest before and after (default), once, or not at all",
    )
    search.add_argument(
        "--seconds-a-file",
        type=seconds,
        default=120.0,
        metavar="S",
        help="the longest one file may take (default 120, and more for large ones)",
    )
    search.add_argument("--timestamp", metavar="URL", help="an RFC 3161 time-stamp server that dates the seal")
    search.add_argument("--language", choices=("pt", "en"), default="pt", help="the report's language (default: pt)")
    search.add_argument("--json", action="store_true", help="print the result for programs")
