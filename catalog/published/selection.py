"""What of a catalog is everybody's business, and so may be published."""

from __future__ import annotations

import ipaddress
from dataclasses import replace
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from rkfetch.catalog.browsing.tables import Build
from rkfetch.registry.hub import resolve_url
from rkfetch.registry.model import CONVERTED, settle

from .reading import FormError
from .rows import addition_line, artifact_line, read_row, repository_line

if TYPE_CHECKING:
    from collections.abc import Container

    from rkfetch.catalog.database import Catalog
    from rkfetch.catalog.entries import Repository
    from rkfetch.registry.model import Artifact, Evidence

    from .rows import Row

PUBLIC = ("huggingface", "modelscope", "modelzoo", "github", "other")
"""Sources whose rows are everybody's: what lies on somebody's disk is not."""
TAKEN = (*PUBLIC, CONVERTED)
"""Sources whose rows are taken in: also what a publisher has made, and chose to tell."""
_HUBS = {"huggingface": "https://huggingface.co", "modelscope": "https://www.modelscope.cn"}


class Rows:
    """Everything in a catalog that may be published, as lines by their keys."""

    def __init__(self, catalog: Catalog, *, unlisted: bool, converted: bool) -> None:
        self.lines: dict[bytes, bytes] = {}
        self.left_out: list[tuple[str, str]] = []
        """What readers would refuse, each with the reason."""
        self.builds: list[Build] = []
        """What readers get of each build, for a page."""
        self.sources: set[str] = set()
        self.updated = _updated(catalog)
        """When each source was last looked at, here or at a publisher's."""
        listed = {
            (r.source, r.repo.casefold()): r
            for r in catalog.all_repositories()
            if r.source in PUBLIC and not r.private
        }
        told: dict[tuple[str, str], Repository | None] = {}
        for place, repository in listed.items():
            row = self._add(*repository_line(repository), what=repository.repo)
            told[place] = row.repository if row else None
        # Not what a user once asked for with a token: only what a listing shows to everybody.
        known = catalog.published_ids()
        additions = {kept.addition.place for kept in catalog.additions()}
        places: set[tuple[str, str]] = set()
        contents: set[str | None] = set()
        for artifacts in catalog.in_parts():
            for number, artifact in artifacts.items():
                place = (artifact.source, artifact.repo.casefold())
                is_told = (unlisted and artifact.source in PUBLIC) or (
                    converted and _is_of_a_hub_model(artifact)
                )
                if place in listed or number in known or is_told:
                    public = for_all(artifact, additions)
                    line = artifact_line(public, catalog.companions(artifact))
                    row = self._add(*line, what=artifact.name)
                    if row is not None and row.artifact is not None:
                        self.sources.add(row.artifact.source)
                        self.builds.append(Build(row.artifact, told.get(place), row.companions))
                    places.add(place)
                    contents.add(artifact.sha256)
        for addition in (kept.addition for kept in catalog.additions()):
            place = (addition.source, addition.repo.casefold())
            # Of a file without a repository even the name is its owner's business.
            if (addition.sha256 in contents) if not addition.repo else (place in places):
                self._add(*addition_line(addition), what=addition.place)

    def _add(self, key: bytes, line: bytes, *, what: str) -> Row | None:
        """Take a line in; return what readers make of it, or None if they would refuse it."""
        try:
            row = read_row(line)
        except FormError as error:
            self.left_out.append((what, str(error)))
            return None
        self.lines[key] = line
        return row


def _is_of_a_hub_model(artifact: Artifact) -> bool:
    """Tell what was made out of a model that others know; a folder's name says them nothing."""
    return artifact.source == CONVERTED and not artifact.repo.startswith("local/")


def _updated(catalog: Catalog) -> dict[str, str]:
    published = max((p.date for p in catalog.publications()), default=None)
    found = {source: published for source in PUBLIC if published is not None}
    for status in catalog.status().sources:
        if status.updated:
            found[status.source] = max(status.updated, found.get(status.source, ""))
    return found


def for_all(artifact: Artifact, additions: Container[str]) -> Artifact:
    """Return an artifact without what is nobody else's business.

    Neither with what ``additions`` say, which are published themselves.
    """
    evidence = (
        _public(e, artifact)
        for a in artifact.attributes.values()
        for e in a.evidence
        if e.place not in additions
    )
    return replace(artifact, attributes=settle(e for e in evidence if e))


def _public(item: Evidence, artifact: Artifact) -> Evidence | None:
    """Return an observation with a place that means something to others, or None.

    What was read in the content may have been read in a private repository with the same content,
    or at a mirror on the local network: it is told of the address that everybody sees. A path on
    this disk, and what was seen on it, is left out.
    """
    place = item.place
    if place.startswith(("/", "~", "file:", "\\\\")):
        return None
    if not place.startswith(("http://", "https://")):
        return item
    address = _public_address(place, artifact)
    return replace(item, place=address) if address else None


def _public_address(address: str, artifact: Artifact) -> str | None:
    try:
        parts = urlsplit(address)
        is_public = _is_public(parts.hostname or "")
    except ValueError:
        return None
    is_own = f"/{artifact.repo}/resolve/".casefold() in parts.path.casefold()
    if is_public and (is_own or "/resolve/" not in parts.path):
        return address
    if artifact.source not in _HUBS or "/resolve/" not in parts.path:
        return None
    return resolve_url(
        artifact.repo,
        artifact.path,
        artifact.revision,
        source=artifact.source,
        base=_HUBS[artifact.source],
    )


def _is_public(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_global
    except ValueError:
        return "." in host and not host.endswith(
            (".local", ".lan", ".home", ".internal", ".localhost")
        )
