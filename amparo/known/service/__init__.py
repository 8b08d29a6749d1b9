"""The match service for a provider: asked over HTTP whether material is known, it answers as much as the asker's key allows.

What is asked for is digests, fingerprints and frames of films in batches, and pictures, which are fingerprinted in processes that
may be killed and are never stored. Every answer is given to a key, which may see what its scopes say of the lists that it names;
what is not allowed is not looked at, so that neither the time nor the size of an answer tells of it. No list can be read out.

:mod:`.serving` runs the processes, :mod:`.app` has the routes, :mod:`.gate` stands before all of them.
"""
