"""What the tests of the store share: a small model, and how it gets in."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Any

from rkfetch.registry.record import Record
from rkllm_files import rkllm_bytes

if TYPE_CHECKING:
    from rkfetch.registry.store import Installed, Store

CONTENT = rkllm_bytes()
SHA256 = hashlib.sha256(CONTENT).hexdigest()


def record(content: bytes = CONTENT, **values: Any) -> Record:
    return Record(
        **{
            "sha256": hashlib.sha256(content).hexdigest(),
            "size_bytes": len(content),
            "source": "huggingface",
            "repo": "alice/models",
            "path": "RK3576/x.rkllm",
            "fetched_at": "2026-11-01T00:00:00+00:00",
            **values,
        }
    )


def add(store: Store, content: bytes = CONTENT, **values: Any) -> Installed:
    new = record(content, **values)
    partial = store.partial(new.sha256)
    with store.writing(new.sha256):
        partial.write_bytes(content)
        return store.add(partial, new)


def lose_record_and_content(store: Store) -> Installed:
    item = add(store)
    (item.path.parent / "record.json").unlink()
    item.path.write_bytes(CONTENT[:-1] + b"x")
    return item
