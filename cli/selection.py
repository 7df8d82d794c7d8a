"""Which installed file does a user mean? Words are compared with records, never made into paths."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from rkfetch.catalog.models import match, parse_reference
from rkfetch.catalog.naming import recorded_model
from rkfetch.registry.errors import UnknownModelError, UsageError
from rkfetch.registry.model import Quant

from .pairs import is_encoder

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rkfetch.catalog.models import FileReference
    from rkfetch.registry.store import Installed

_DIGEST = re.compile(r"(?:sha256:)?([0-9a-f]{6,64})")


def select(items: Sequence[Installed], text: str) -> list[Installed]:
    """Return the files that a model's name, a file's name or address, or a digest means.

    Raises:
        UsageError: it is none of these.
        UnknownModelError: nothing that is installed answers to it.
    """
    found = by_own_name(items, text) or _by_reference(items, text)
    if not found:
        raise UnknownModelError(
            f"nothing that is installed is called '{text}'",
            hint="`rkfetch list` shows what is installed",
        )
    return found


def by_own_name(items: Sequence[Installed], text: str) -> list[Installed]:
    """Return the files whose name, path or digest it is: what names no other file anywhere."""
    digest = _DIGEST.fullmatch(text)
    named = [item for item in items if text in {item.path.name, str(item.path)}]
    if digest:
        named += [item for item in items if item.record.sha256.startswith(digest[1])]
    return named


def select_one(items: Sequence[Installed], text: str) -> Installed:
    """Return the one file that is meant; raises like `select`, and if there are several."""
    found = select(items, text)
    if len(found) > 1:
        raise UsageError(
            f"'{text}' may be one of {len(found)} installed files",
            cause=[f"{item.record.sha256[:12]}  {item.path.name}" for item in found],
            hint="say which by its file name, by the digest in front of it, or by @QUANT",
        )
    return found[0]


def _by_reference(items: Sequence[Installed], text: str) -> list[Installed]:
    reference = parse_reference(text)
    if reference.file is not None:
        file = reference.file
        return [item for item in items if _is_file(item, file)]
    names = {item.record.sha256: recorded_model(item.record) for item in items}
    meant = set(match(reference.model or "", sorted({name for name in names.values() if name})))
    found = [
        item
        for item in items
        if names[item.record.sha256] in meant and _has_quant(item, reference.quant)
    ]
    # An encoder may bear its model's name, and is no model by itself.
    return [item for item in found if not is_encoder(item)] or found


def _is_file(item: Installed, file: FileReference) -> bool:
    record = item.record
    revisions = {None, record.revision, record.requested}
    return (record.source, record.repo, record.path) == (
        file.source,
        file.repo,
        file.path,
    ) and file.revision in revisions


def attribute_of(item: Installed, name: str) -> str | None:
    """Return what is recorded of an attribute."""
    return item.record.attributes.get(name, {}).get("value")


def _has_quant(item: Installed, wanted: Quant | None) -> bool:
    if wanted is None:
        return True
    quant = Quant.read(attribute_of(item, "quant") or "")
    return quant is not None and wanted.covers(quant)
