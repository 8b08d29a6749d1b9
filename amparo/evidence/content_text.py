"""What kind of text a content is, if it is one: its encoding is told by its bytes, its kind by how it begins."""

from __future__ import annotations

import re
from typing import Final

_FULL: Final = 4096
_TEXTS: Final = {
    "csv": "text/csv",
    "tsv": "text/tab-separated-values",
    "md": "text/markdown",
    "css": "text/css",
    "js": "text/javascript",
    "mjs": "text/javascript",
    "py": "text/x-python",
    "sh": "text/x-shellscript",
    "ps1": "text/x-powershell",
    "json": "application/json",
    "vcf": "text/vcard",
    "ics": "text/calendar",
    "htm": "text/html",
    "html": "text/html",
    "eml": "message/rfc822",
    "mbox": "application/mbox",
    "srt": "application/x-subrip",
}
_STARTS: Final = (
    (re.compile(r"<!doctype html|<(html|head|body|title|script|table|div|meta)[\s>]", re.I), "text/html"),
    (re.compile(r"<svg[\s>]", re.I), "image/svg+xml"),
    (
        re.compile(r'\{\s*("[^"\n]{0,256}"\s*:|\})|\[\s*([\[{"\]]|-?\d[\d.eE+-]*\s*[,\]]|true|false|null)'),
        "application/json",
    ),
    (re.compile(r"From \S+ .{0,40}\d\d:\d\d"), "application/mbox"),
    (
        re.compile(r"(Return-Path|Received|Delivered-To|X-[\w-]+|MIME-Version|Message-ID|DKIM-Signature):[ \t]", re.I),
        "message/rfc822",
    ),
    (re.compile(r"BEGIN:VCARD", re.I), "text/vcard"),
    (re.compile(r"BEGIN:VCALENDAR", re.I), "text/calendar"),
    (re.compile(r"#!\s*/\S*sh\b"), "text/x-shellscript"),
    (re.compile(r"#!.{0,40}python"), "text/x-python"),
)
_HEADER_LINE: Final = re.compile(r"^(From|To|Subject|Date|Message-ID): ", re.I | re.M)
_XML_ROOT: Final = re.compile(r"<(?!\?|!--)(!doctype\s+)?([\w:.-]+)", re.I)
_XMLS: Final = {"svg": "image/svg+xml", "html": "application/xhtml+xml", "plist": "application/x-plist"}
_NOT_TEXT: Final = bytes(c for c in range(256) if c >= 32 or c in b"\t\n\r\f\b\x1b")


def ending_of(path: str) -> str:
    return path[-6:].rpartition(".")[2].lower()


def text_kind(head: bytes, path: str) -> str | None:
    """Text in UTF-8, UTF-16 or an encoding of one byte a letter, and the kinds of it that show themselves."""
    if head[:2] in (b"\xff\xfe", b"\xfe\xff"):
        text = head[: len(head) & ~1].decode("utf-16", "replace")
        if len(head) < 4 or text.count("\ufffd") > len(text) // 16 or "\0" in text:
            return None
    elif b"\0" in head:
        even, odd = head[0:512:2], head[1:512:2]
        if len(head) < 8 or min(even.count(0), odd.count(0)) or max(even.count(0), odd.count(0)) < len(odd) * 3 // 4:
            return None
        letters, code = (even, "utf-16-le") if 0 not in even else (odd, "utf-16-be")
        if letters.translate(None, _NOT_TEXT):
            return None
        text = head[: len(head) & ~1].decode(code, "replace")
    else:
        if head[:1024].translate(None, _NOT_TEXT):
            return None
        try:
            text = head.decode("utf-8-sig")
        except UnicodeDecodeError as error:
            if error.start < len(head) - 3 or len(head) < _FULL:
                high = sum(byte > 127 for byte in head[:256])
                if high * 3 > min(len(head), 256) and len(head) < 64:
                    return None
            text = head.decode("utf-8-sig", "replace")
    return _kind_of_text(text.lstrip("\ufeff \t\r\n"), path)


def _kind_of_text(text: str, path: str) -> str:
    ending = ending_of(path)
    first = text[:1]
    if first == "<" and text[:2] in ("<?", "<!"):
        for root in _XML_ROOT.finditer(text[:2048]):
            name = root[2].lower()
            if text[:5].lower() != "<?xml" and name == "html":
                return "text/html"
            return _XMLS.get(name.rpartition(":")[2], "application/xml" if text[:5].lower() == "<?xml" else "text/html")
        if text.startswith("<?xml"):
            return "application/xml"
    for pattern, mime in _STARTS:
        if pattern.match(text):
            if mime == "message/rfc822" and not _HEADER_LINE.search(text):
                continue
            return mime
    if ending == "eml" and not _HEADER_LINE.match(text):
        return "text/plain"
    return _TEXTS.get(ending, "text/plain")
