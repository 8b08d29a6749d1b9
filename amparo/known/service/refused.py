"""What the service says when it does not answer."""

from __future__ import annotations


class Refused(Exception):
    """A request that is not answered: the HTTP ``status``, a ``code`` for programs, and one sentence for people that says what to
    do. ``retry_after`` is in seconds."""

    def __init__(self, status: int, code: str, sentence: str, retry_after: int | None = None) -> None:
        super().__init__(sentence)
        self.status, self.code, self.sentence, self.retry_after = status, code, sentence, retry_after
