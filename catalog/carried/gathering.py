"""Put together what an export holds: which file goes where, and what is written about them."""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from rkfetch import __version__
from rkfetch.registry.beside import beside
from rkfetch.registry.durable import disk_errors, hash_file
from rkfetch.registry.record import safe_file_name

from . import knowledge
from .form import (
    CATALOG,
    MANIFEST,
    MODEL,
    README,
    SIGNATURE,
    SUMS,
    VISION,
    CarriedFile,
    CarriedModel,
    Export,
    portable_record,
    sums,
    write_manifest,
)
from .readme import page

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from rkfetch.catalog.database import Catalog
    from rkfetch.catalog.published.signing import Signer
    from rkfetch.registry.store import Installed

_LONGEST_NAME = 140
_NOT_PLAIN = re.compile(r"[^A-Za-z0-9.]+")


@dataclass(frozen=True, slots=True, kw_only=True)
class Chosen:
    """An installed model that goes into an export, with what belongs to it."""

    installed: Installed
    companions: tuple[Installed, ...] = ()
    without: frozenset[str] = frozenset()
    """Roles of what lies beside it and is to be left out."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Load:
    """An export that is ready to be written."""

    export: Export
    sources: Mapping[str, Path | bytes]
    """Where the content of each file is, by path; what is in its place already is not here."""
    lists: Mapping[str, bytes]
    """The list of all files, and what goes with it, by path, in the order to write it in."""
    notes: Mapping[str, bytes]
    """What only people read, by path."""
    key: str | None
    """The public key that belongs to the signature."""

    @property
    def size_bytes(self) -> int:
        """Of everything."""
        texts = [*self.lists.values(), *self.notes.values()]
        return self.export.size_bytes + sum(map(len, texts))


@dataclass(frozen=True, slots=True, kw_only=True)
class Before:
    """What an export that is there already holds, and can stay."""

    models: tuple[CarriedModel, ...] = ()
    catalog: Mapping[bytes, bytes] = field(default_factory=dict)
    """What it says of them, as rows by their keys."""


def gather(
    chosen: Sequence[Chosen],
    *,
    catalog: Catalog,
    signer: Signer | None = None,
    before: Before | None = None,
) -> Load:
    """Decide where every file of some models goes, and write the lists.

    Models that are in the export ``before`` and not chosen now stay in it.

    Raises:
        RkfetchError: a small file cannot be read.
    """
    before = before or Before()
    task = _Gathering()
    fresh = {c.installed.record.sha256: task.model(c) for c in chosen}
    stay = [m for m in before.models if m.main.sha256 not in fresh]
    models = sorted([*fresh.values(), *stay], key=lambda m: m.main.path)
    lines = {
        **{k: v for k, v in before.catalog.items() if _is_of(v, stay)},
        **knowledge.lines_about(catalog, [m.main.sha256 for m in models]),
    }
    told = knowledge.write(lines, [m.main.provenance for m in models], signer=signer)
    for path, content in told.items():
        task.sources[path] = content
    export = Export(
        models=tuple(models),
        catalog=tuple(_listed(CATALOG, path, content) for path, content in told.items()),
        rkfetch=__version__,
    )
    manifest = write_manifest(export)
    lists = {MANIFEST: manifest}
    if signer is not None:
        lists[SIGNATURE] = signer.sign(manifest, "rkfetch export")
    readme = page(export)
    summed = [(file.path, file.sha256) for file in export.files]
    summed += [(path, _sha256(text)) for path, text in (*lists.items(), (README, readme))]
    return Load(
        export=export,
        sources=task.sources,
        lists=lists,
        notes={README: readme, SUMS: sums(sorted(summed))},
        key=signer.public if signer is not None else None,
    )


class _Gathering:
    """Remembers where each content goes: one that two models share is there once."""

    def __init__(self) -> None:
        self.sources: dict[str, Path | bytes] = {}
        self._places: dict[str, str] = {}

    def model(self, chosen: Chosen) -> CarriedModel:
        item = chosen.installed
        folder = folder_name(item)
        small = []
        for near in beside(item):
            if near.role in chosen.without:
                continue
            with disk_errors(near.path):
                digest = hash_file(near.path).hexdigest()
            path = f"{folder}/beside/{near.path.name}"
            self.sources[path] = near.path
            small.append(
                CarriedFile(role=near.role, path=path, size_bytes=near.size_bytes, sha256=digest)
            )
        return CarriedModel(
            main=self._large(item, MODEL, folder),
            companions=tuple(self._large(c, VISION, folder) for c in chosen.companions),
            beside=tuple(small),
        )

    def _large(self, item: Installed, role: str, folder: str) -> CarriedFile:
        record = item.record
        name = safe_file_name(item.path.name, longest=_LONGEST_NAME)
        path = self._places.setdefault(record.sha256, f"{folder}/{name}")
        self.sources[path] = item.path
        return CarriedFile(
            role=role,
            path=path,
            size_bytes=record.size_bytes,
            sha256=record.sha256,
            record=portable_record(record),
        )


def folder_name(item: Installed) -> str:
    """Return the folder that a model has in an export: what people look for, and never another's.

    ``Qwen2.5-1.5B-Instruct-rk3576-w4a16-c76d4b71``
    """
    record = item.record
    said = (record.attributes.get(name, {}).get("value") for name in ("platform", "quant"))
    model = (record.model or Path(record.path).stem).rpartition("/")[2]
    words = [model[:60], *(text[:20] for text in said if text), record.sha256[:8]]
    return "-".join(word for text in words if (word := _NOT_PLAIN.sub("-", text).strip("-.")))


def _is_of(line: bytes, models: Iterable[CarriedModel]) -> bool:
    return any(model.main.sha256.encode() in line for model in models)


def _listed(role: str, path: str, content: bytes) -> CarriedFile:
    return CarriedFile(role=role, path=path, size_bytes=len(content), sha256=_sha256(content))


def _sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()
