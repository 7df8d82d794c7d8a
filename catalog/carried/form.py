"""What an export is: a list of files with their hashes, and where each has to go.

Pure. The list, `MANIFEST`, has a version of its own. Reading is strict, because a stick passes
through many hands: a name that is no plain name on every file system, or that another one covers
where case does not count, is refused before any file is looked at. docs/offline.md describes the
form for others.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from pathlib import PurePosixPath
from typing import TYPE_CHECKING, Any

from rkfetch.catalog import border
from rkfetch.catalog.published.reading import FormError, count, get, json_object, objects, word
from rkfetch.registry.beside import LARGEST_BYTES, ROLES
from rkfetch.registry.errors import IntegrityError
from rkfetch.registry.record import Record, safe_file_name

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

FORMAT = "rkfetch-export"
VERSION = 1
MANIFEST = "rkfetch-export.json"
SIGNATURE = f"{MANIFEST}.minisig"
UNFINISHED = f"{MANIFEST}.partial"
"""Is there while an export is written, or if that was ended."""
SUMS = "SHA256SUMS"
README = "README.txt"
CATALOG = "catalog"
TOP = "rkfetch-export"
"""The folder that all of a tar file's names begin with."""
OWN = frozenset({MANIFEST, SIGNATURE, UNFINISHED, SUMS, README, CATALOG})

_RESERVED = {name.casefold() for name in OWN - {CATALOG}}

MODEL = "model"
VISION = "vision"
_ENDINGS = {MODEL: ".rkllm", VISION: ".rknn"}

LARGEST_MANIFEST = 16 << 20
LARGEST_CATALOG_FILE = 4 << 20
_MOST_MODELS = 1000
_MOST_FILES = 200
"""Of one model."""
_MOST_CATALOG_FILES = 256
_LONGEST_PATH = 400
_LONGEST_TEXT = 4096
_LONGEST_MADE = 64 << 10
_DEEPEST = 8
_TEXTS = (
    *("source", "repo", "path", "revision", "requested", "model", "licence"),
    *("fetched_at", "rkfetch"),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class CarriedFile:
    """One file of an export."""

    role: str
    path: str
    """Relative to the folder that holds the list, with ``/``; plain on every file system."""
    size_bytes: int
    sha256: str
    record: Record | None = None
    """Where it came from; of a model and of a vision encoder."""

    @property
    def name(self) -> str:
        """Its own name."""
        return self.path.rpartition("/")[2]

    @property
    def provenance(self) -> Record:
        """The record, which a model and an encoder have."""
        assert self.record is not None  # reading and making see to that
        return self.record


@dataclass(frozen=True, slots=True, kw_only=True)
class CarriedModel:
    """A model and what belongs to it."""

    main: CarriedFile
    companions: tuple[CarriedFile, ...] = ()
    """Its vision encoder."""
    beside: tuple[CarriedFile, ...] = ()
    """Tokenizer, configuration, licence, model card."""

    @property
    def licence(self) -> str | None:
        """The name of the base model's licence."""
        return self.main.provenance.licence

    @property
    def files(self) -> tuple[CarriedFile, ...]:
        """All of it, in the order in which it is taken in."""
        return (*self.companions, self.main, *self.beside)

    @property
    def model(self) -> str:
        """What to call it."""
        return self.main.provenance.model or self.main.name

    def attribute(self, name: str) -> str | None:
        """Return what is known of the build: its platform, quantisation, toolkit."""
        return self.main.provenance.attributes.get(name, {}).get("value")


@dataclass(frozen=True, slots=True, kw_only=True)
class Export:
    """All that an export holds, but for what only people read."""

    models: tuple[CarriedModel, ...]
    catalog: tuple[CarriedFile, ...] = ()
    """What the maker's catalog knows of the models, in the form of a published catalog."""
    rkfetch: str = ""
    """The version that made it."""

    @property
    def files(self) -> tuple[CarriedFile, ...]:
        """All files that are listed, each once, in the order in which they are taken in."""
        listed = [*(file for model in self.models for file in model.files), *self.catalog]
        return tuple({file.path: file for file in listed}.values())

    @property
    def size_bytes(self) -> int:
        """Of all files together."""
        return sum(file.size_bytes for file in self.files)


def portable_record(record: Record) -> Record:
    """Return a record without what concerns only the machine that it was made on."""
    is_own = record.source in {"import", "local", "unknown"}
    made = record.made
    if made is not None and len(json.dumps(made)) > _LONGEST_MADE:
        made = None
    return replace(
        record,
        source="import" if is_own else record.source,
        repo="" if is_own else record.repo,
        path=safe_file_name(record.path) if is_own else record.path,
        endpoint=None,
        verdict=None,
        validator=None,
        damaged=False,
        verified=None,
        made=made,
        companions=(),
    )


def write_manifest(export: Export) -> bytes:
    """Write the list as JSON that people can read, too; the same export gives the same bytes."""
    what = {
        "format": FORMAT,
        "version": VERSION,
        "rkfetch": export.rkfetch,
        "models": [
            {"files": [_file_json(file) for file in model.files]} for model in export.models
        ],
        "catalog": [_file_json(file) for file in export.catalog],
    }
    return (json.dumps(what, indent=1, ensure_ascii=True) + "\n").encode()


def _file_json(file: CarriedFile) -> dict[str, Any]:
    what: dict[str, Any] = {
        "role": file.role,
        "path": file.path,
        "bytes": file.size_bytes,
        "sha256": file.sha256,
    }
    return what if file.record is None else {**what, "record": file.record.as_json()}


def read_manifest(content: bytes) -> Export:
    """Read a list.

    Raises:
        FormError: it is none, or something in it cannot be.
        IntegrityError: it is of a newer form.
    """
    if len(content) > LARGEST_MANIFEST:
        raise FormError("it is longer than any list")
    what = json_object(content)
    if what.get("format") != FORMAT:
        raise FormError("it is no list of an export")
    if count(what, "version") != VERSION:
        raise IntegrityError(
            "the export is of a form that this rkfetch does not know",
            cause=[f"its form is version {what['version']}, this program reads {VERSION}"],
            hint="upgrade rkfetch on this machine, or make the export with an older one",
        )
    models = tuple(_model(item) for item in objects(what, "models", _MOST_MODELS))
    catalog = tuple(_catalog_file(item) for item in objects(what, "catalog", _MOST_CATALOG_FILES))
    if not models:
        raise FormError("it lists no model")
    export = Export(models=models, catalog=catalog, rkfetch=word(what, "rkfetch", 80))
    _require_apart([*(file for model in models for file in model.files), *catalog])
    digests = [model.main.sha256 for model in models]
    if len(set(digests)) < len(digests):
        raise FormError("a model is listed twice")
    return export


def _model(what: Mapping[str, Any]) -> CarriedModel:
    files = list(_files(what))
    main = [file for file in files if file.role == MODEL]
    if len(main) != 1:
        raise FormError(f"a model has {len(main)} files of the role '{MODEL}'")
    companions = tuple(file for file in files if file.role == VISION)
    if main[0].sha256 in {file.sha256 for file in companions}:
        raise FormError("a model belongs to itself")
    beside = tuple(file for file in files if file.role in ROLES)
    names = [file.name.casefold() for file in beside]
    if len(set(names)) < len(names):
        raise FormError("two files of a model have one name")
    return CarriedModel(main=main[0], companions=companions, beside=beside)


def _files(what: Mapping[str, Any]) -> Iterator[CarriedFile]:
    """Read the files of a model; those of a role that a newer rkfetch may know are left out."""
    for item in objects(what, "files", _MOST_FILES):
        role = word(item, "role", 40)
        file = _file(item, role)
        if role in _ENDINGS:
            if not file.name.lower().endswith(_ENDINGS[role]):
                raise FormError(f"a file of the role '{role}' has another ending")
            yield replace(file, record=_record(item, file))
        elif role in ROLES:
            if file.size_bytes > LARGEST_BYTES:
                raise FormError("a small file is larger than any may be")
            yield file


def _catalog_file(what: Mapping[str, Any]) -> CarriedFile:
    file = _file(what, CATALOG)
    if not file.path.startswith(f"{CATALOG}/") or file.size_bytes > LARGEST_CATALOG_FILE:
        raise FormError("a part of the catalog lies elsewhere, or is larger than any may be")
    return file


def _file(what: Mapping[str, Any], role: str) -> CarriedFile:
    path, sha256 = get(what, "path", str), border.digest(what.get("sha256"))
    if (why := bad_path(path)) is not None:
        raise FormError(f"a path cannot be one: {why}")
    if sha256 is None:
        raise FormError("a file has no SHA-256")
    return CarriedFile(role=role, path=path, size_bytes=count(what, "bytes"), sha256=sha256)


def _record(what: Mapping[str, Any], file: CarriedFile) -> Record:
    said = get(what, "record", dict)
    record = Record.from_json(said)
    if record is None:
        raise FormError("a record makes no sense")
    if (record.sha256, record.size_bytes) != (file.sha256, file.size_bytes):
        raise FormError("a record is of another file")
    attributes = [v for said in record.attributes.values() for v in said.values() if v]
    texts = [getattr(record, name) or "" for name in _TEXTS]
    if any(len(t) > _LONGEST_TEXT for t in [*texts, *attributes]) or len(attributes) > 100:
        raise FormError("a record is longer than any may be")
    return portable_record(record)


def bad_path(path: str) -> str | None:
    """Return why a path cannot be one on every file system; None if it can."""
    parts = path.split("/")
    if not path or len(path) > _LONGEST_PATH or len(parts) > _DEEPEST:
        return "it is empty, too long or too deep"
    if any(part in {"", ".", ".."} for part in parts):
        return "it leads out of its folder"
    if any(safe_file_name(part, longest=255) != part for part in parts):
        return "a name in it is no plain one"
    if parts[0].casefold() in _RESERVED or path == CATALOG:
        return "it is the name of something else"
    return None


def _require_apart(files: Iterable[CarriedFile]) -> None:
    """Check that no file covers another one, also where case does not count."""
    seen: dict[str, CarriedFile] = {}
    for file in files:
        other = seen.setdefault(file.path.casefold(), file)
        same = (other.path, other.sha256, other.size_bytes)
        if same != (file.path, file.sha256, file.size_bytes):
            raise FormError("two files have one name, or names that differ only in case")
    spelt: dict[str, str] = {}
    for file in seen.values():
        for folder in list(PurePosixPath(file.path).parents)[:-1]:
            name = folder.as_posix()
            if name.casefold() in seen or spelt.setdefault(name.casefold(), name) != name:
                raise FormError("a folder has the name of a file, or of another folder")


def sums(files: Iterable[tuple[str, str]]) -> bytes:
    """Write SHA-256 and path of files as ``sha256sum -c`` reads them."""
    return "".join(f"{sha256}  {path}\n" for path, sha256 in files).encode()
