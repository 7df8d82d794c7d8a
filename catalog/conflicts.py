"""Which labels does a file itself contradict, and about which contents do labels disagree?

A label that says less than the header (``w4a16`` for ``w4a16_g128``) is no contradiction.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from rkfetch.registry.model import Availability, Origin, Quant

from .places import contents

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from rkfetch.registry.model import Artifact, Attribute, Evidence

    from .database import Catalog

COMPARED = ("platform", "toolkit", "quant", "context", "npu_cores")
"""Attributes that labels and headers both tell."""
_LABELS = frozenset(Origin) - {Origin.HEADER, Origin.TRAILER, Origin.LOG, Origin.USER}
_READ = {Origin.HEADER, Origin.TRAILER}
_LIST = re.compile(r"https://github\.com/([^/]+/[^/]+)")


@dataclass(frozen=True, slots=True, kw_only=True)
class Conflict:
    """One attribute of one file that is told in different ways."""

    source: str
    repo: str
    path: str
    revision: str | None
    sha256: str | None
    attribute: str
    header: str | None
    """What the file itself says; None if it was not read: then the labels disagree."""
    labels: tuple[Evidence, ...]
    """What contradicts the header, or each other."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Recipient:
    """The conflicts that one repository, or one maintained list, could settle."""

    host: str
    """``huggingface``, ``modelscope``, … or ``github`` for a list."""
    repo: str
    conflicts: tuple[Conflict, ...]

    @property
    def uploader(self) -> str:
        """The owner of the repository."""
        return self.repo.partition("/")[0]


def conflicts(
    catalog: Catalog, *, repo: str | None = None, uploader: str | None = None
) -> list[Recipient]:
    """Return all conflicts of files that can be had, grouped by who can settle them."""
    found: dict[tuple[str, str, str], list[Conflict]] = {}
    for host, name, conflict in _everyone(catalog.contradicted(COMPARED), catalog):
        key = (host, name.casefold(), name)
        found.setdefault(key, []).append(conflict)
    return [
        Recipient(host=host, repo=name, conflicts=tuple(sorted(items, key=_order)))
        for (host, folded, name), items in sorted(found.items())
        if repo is None or folded == repo.casefold()
        if uploader is None or folded.partition("/")[0] == uploader.casefold()
    ]


def _order(conflict: Conflict) -> tuple[str, int]:
    return conflict.path, COMPARED.index(conflict.attribute)


def _everyone(
    artifacts: Iterable[Artifact], catalog: Catalog
) -> Iterator[tuple[str, str, Conflict]]:
    # A file of one's own disk has nobody to write to.
    had = [
        a
        for a in artifacts
        if a.availability in {Availability.LISTED, Availability.MANUAL} and not a.is_local
    ]
    for artifact in had:
        for name in COMPARED:
            yield from _of_header(artifact, artifact.attribute(name))
    for build in filter(lambda b: not b.is_local, contents(catalog, had)):
        for name in COMPARED:
            yield from _of_labels(build, build.attribute(name))


def _of_header(artifact: Artifact, attribute: Attribute) -> Iterator[tuple[str, str, Conflict]]:
    """Give what labels say against a header, each to the one who wrote the label."""
    read = [e for e in attribute.evidence if e.origin in _READ]
    if not read:
        return
    wrong: dict[tuple[str, str], list[Evidence]] = {}
    for label in attribute.evidence:
        if label.origin in _LABELS and not _agrees(attribute.name, label.value, read[0].value):
            wrong.setdefault(_writer(artifact, label), []).append(label)
    for (host, repo), labels in wrong.items():
        yield host, repo, _conflict(artifact, attribute.name, read[0].value, labels)


def _of_labels(build: Artifact, attribute: Attribute) -> Iterator[tuple[str, str, Conflict]]:
    """Give what equally strong labels disagree about, where no header tells."""
    if attribute.disputed and attribute.origin in _LABELS:
        labels = [e for e in attribute.evidence if e.origin is attribute.origin]
        yield build.source, build.repo, _conflict(build, attribute.name, None, labels)


def _writer(artifact: Artifact, label: Evidence) -> tuple[str, str]:
    """Return who wrote a label: a maintained list, or the repository itself."""
    found = _LIST.match(label.place) if label.origin is Origin.CURATED else None
    return ("github", found[1]) if found else (artifact.source, artifact.repo)


def _conflict(
    artifact: Artifact, attribute: str, header: str | None, labels: Iterable[Evidence]
) -> Conflict:
    return Conflict(
        source=artifact.source,
        repo=artifact.repo,
        path=artifact.path,
        revision=artifact.revision,
        sha256=artifact.sha256,
        attribute=attribute,
        header=header,
        labels=tuple(labels),
    )


def _agrees(attribute: str, label: str, header: str) -> bool:
    if attribute == "quant":
        said, is_ = Quant.read(label), Quant.read(header)
        if said is not None and is_ is not None and not said.group:
            return said == replace(is_, group=0)
    return label == header
