"""Matching a whole store: a folder, an archive, a bucket, a table of digests; on this machine's cores or on a cluster.

A store gives objects, lazily (:mod:`~amparo.known.bulk.stores`); each is examined in a process that it may bring down
(:mod:`~amparo.known.bulk.worker`), and comes exactly once in the result (:mod:`~amparo.known.bulk.journal`) though workers,
the leader or the machine die on the way.
"""
