"""Fingerprints that are near: exact range search in Hamming space over 256 bits, and groups of near-duplicates.

``Nearest`` is an immutable index in three mapped files; ``clusters`` groups its rows.
"""

from amparo.known.nearest.base import FURTHEST, RADIUS, Hits, Nearest
from amparo.known.nearest.clusters import clusters
from amparo.known.table import Damaged

__all__ = ["FURTHEST", "RADIUS", "Damaged", "Hits", "Nearest", "clusters"]
