"""What ``amparo provider`` says and does: the match service, and the keys of those who may ask it."""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import Callable
from dataclasses import asdict
from datetime import datetime, timedelta
from pathlib import Path

from amparo import clock
from amparo.errors import UsedWrongly
from amparo.known.service.keys import Key, KeyFile
from amparo.known.service.serving import serve as run
from amparo.known.service.settings import Settings
from amparo.language import counted, said
from amparo.terminal import tell, visible
from amparo.translation import in_language


def serve(given: argparse.Namespace) -> int:
    """``amparo provider serve``: until it is told to stop."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    workers = given.workers or cores
    settings = Settings(
        index=given.index, keys=given.keys or _keys_path(), audit=given.audit or _audit_path(), host=given.host, port=given.port,
        workers=workers, decoders=given.decoders or max(2, -(-cores // workers)), certificate=given.tls_certificate,
        private_key=given.tls_key, behind_proxy=given.behind_proxy, radius=given.radius, most_items=given.most_items,
        most_picture=given.most_picture, seconds_a_picture=given.seconds_a_picture, seconds_a_body=given.seconds_a_body,
        keep_asked=given.audit_asked, translate=in_language,
    )  # fmt: skip
    return run(settings, lambda address: tell(said("service_listens", address=address), sys.stderr))


def make(given: argparse.Namespace) -> int:
    """``amparo provider key make``: the key goes to standard output, and nowhere else."""
    if bool(given.list) == given.every_list:
        raise UsedWrongly("Say which lists the key may see: --list NAME, which may be repeated, or --every-list.")
    now = clock.now()
    key, words = KeyFile(given.keys or _keys_path()).make(
        given.name, given.scope, None if given.every_list else given.list, now, given.per_minute, given.per_day, given.at_once,
        now + timedelta(days=given.days) if given.days else None,
    )  # fmt: skip
    if given.json:
        tell(json.dumps({**_shown(key), "key": words}, ensure_ascii=False))
    else:
        tell(visible(said("key_made", id=key.id, name=key.name)), sys.stderr)
        tell(words)
    return 0


def show(given: argparse.Namespace) -> int:
    """``amparo provider key list``."""
    keys = KeyFile(given.keys or _keys_path()).keys()
    now = clock.now()
    for key in keys:
        if given.json:
            tell(json.dumps(_shown(key), ensure_ascii=False))
            continue
        lists = said("every_list") if key.lists is None else ", ".join(key.lists)
        tell(visible(f"{key.id}  {key.name}  {_state(key, now)}  {' '.join(key.scopes)}  {lists}"))
    if not given.json:
        tell(counted("keys", len(keys)), sys.stderr)
    return 0


def revoke(given: argparse.Namespace) -> int:
    """``amparo provider key revoke``: a service that runs refuses the key from now on."""
    key = KeyFile(given.keys or _keys_path()).revoke(given.id, clock.now())
    tell(
        json.dumps(_shown(key), ensure_ascii=False)
        if given.json
        else visible(said("key_gone", id=key.id, name=key.name))
    )
    return 0


def _state(key: Key, now: datetime) -> str:
    if key.revoked:
        return said("key_revoked", when=key.revoked)
    return said("key_live") if key.is_live(now) else said("key_expired")


def _shown(key: Key) -> dict[str, object]:
    return {name: value for name, value in asdict(key).items() if name not in ("salt", "hash")}


def _keys_path() -> Path:
    return _folder("XDG_CONFIG_HOME", ".config") / "provider-keys.json"


def _audit_path() -> Path:
    return _folder("XDG_STATE_HOME", ".local/state") / "provider-audit.jsonl"


def _folder(variable: str, otherwise: str) -> Path:
    configured = os.environ.get(variable, "")
    return (Path(configured) if configured.startswith("/") else Path.home() / otherwise) / "amparo"


KEY_VERBS: dict[str, Callable[[argparse.Namespace], int]] = {"make": make, "list": show, "revoke": revoke}
VERBS: dict[str, Callable[[argparse.Namespace], int]] = {
    "serve": serve,
    "key": lambda given: KEY_VERBS[given.act](given),
}
