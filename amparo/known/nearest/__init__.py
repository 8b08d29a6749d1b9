"""Fingerprints that are near: exact range search in Hamming space over 256 bits, and groups of near-duplicates.

``Nearest`` is an immutable index in four mapped files, ``Living`` one that grows while it is asked; ``clusters`` groups the
rows of the first.
"""

from amparo.known.nearest.base import FURTHEST, RADIUS, Hits, Nearest
from amparo.known.nearest.clusters import clusters
from amparo.known.nearest.living import Living
from amparo.known.table import Damaged

__all__ = ["FURTHEST", "RADIUS", "Damaged", "Hits", "Living", "Nearest", "clusters"]
