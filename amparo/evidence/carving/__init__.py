"""Files in free space, found by what they are and not by a directory that no longer names them.

A candidate is a place on the grid of sectors whose first bytes are those of a known format. It becomes a finding
only where its whole structure holds, to the end, inside free bytes in one piece: a signature alone gives nothing, and a
file whose tail was overwritten is not reported. Files in several fragments are not put together, not even of two.

Formats: JPEG, PNG, GIF, WebP, HEIC, AVIF, MP4 (with MOV, 3GP, M4V), AVI, Matroska, WebM, PDF, ZIP (with docx, odt and
the like).

What it costs. One block of 8 MiB and one window of at most 1 MiB are held. Looking at a candidate is charged: each byte
fetched or looked at, and 256 more a look. False candidates of one kind may cost 256 MiB and one byte for each byte
scanned; beyond that 8 KiB each. So a medium made to wear the search out costs at most (kinds + 8 KiB ÷ step) units of
work a byte, and ``on_problem`` hears of it. Where a search for an end mark found none, the next candidate does not
search the same bytes again.
"""

from amparo.evidence.carving.scan import Carved, Problem, carve

__all__ = ["Carved", "Problem", "carve"]
