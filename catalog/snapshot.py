"""Build the catalog that ships with rkfetch from the data files beside it.

``python -m rkfetch.catalog.snapshot`` publishes it to ``data/snapshot``, and takes that into
``data/snapshot.db``, which the first command copies. The same data and the same program give the
same rows: nothing depends on the clock or the network.
"""

from __future__ import annotations

import json
import re
import shutil
import sys
import tempfile
from contextlib import closing
from dataclasses import dataclass
from datetime import datetime, timezone
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rkfetch.registry.model import Artifact, Availability, Evidence, Origin, settle

from .additions import from_lines
from .database import Catalog
from .entries import Companion
from .files import PUBLISHED, SNAPSHOT, SNAPSHOT_DATE, create
from .naming import guess
from .published.publish import publish
from .published.shipped import take_shipped
from .sources import modelzoo
from .writer import Writer

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

DATA = SNAPSHOT.parent
ADDITIONS = DATA / "additions.jsonl"
"""What people sent; `rkfetch catalog additions --export` writes its lines."""

_SOURCES = {"rockchip-zoo": modelzoo.NAME}
_NAMED_BY = {
    "readme": Origin.CARD,
    "repo_id": Origin.REPO_NAME,
    "filename": Origin.FILE_NAME,
    "log": Origin.LOG,
}
_COLUMNS = (
    ("toolkit", "toolkit_version"),
    ("platform", "platform"),
    ("quant", "quant"),
    ("context", "context"),
    ("model", "model"),
    ("params_b", "params_b"),
)
_LOGGED = (
    ("context", re.compile(r"max_context_limit:? (\d+)")),
    ("npu_cores", re.compile(r"npu_core_num:? (\d+)")),
)
_NOWHERE = "(place unknown)"
_OLD_ORDER = re.compile(r"_w\d+a\d+(?:_g\d+)?_RK\d{4}\.rkllm$")
"""HanzoHuang's first naming; the platform was moved before the quantisation later."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One artifact of the snapshot, with what belongs to it."""

    artifact: Artifact
    companions: tuple[Companion, ...] = ()


def build(folder: Path, path: Path) -> None:
    """Publish the snapshot to ``folder``, and take it into ``path``; neither must exist."""
    date = datetime.fromisoformat(SNAPSHOT_DATE).replace(tzinfo=timezone.utc)
    draft = path.with_suffix(".draft")
    with closing(create(draft)) as conn:
        writer = Writer(conn)
        with writer.transaction():
            for row in rows():
                writer.record_artifact(row.artifact, companions=row.companions, seen=SNAPSHOT_DATE)
            for addition in from_lines(ADDITIONS.read_bytes(), name=ADDITIONS.name):
                writer.add(addition, own=False)
    with Catalog.open(draft) as catalog:
        publish(
            catalog,
            folder,
            name="rkfetch",
            signer=None,
            date=date,
            expires_days=None,
            unlisted=True,
        )
    with closing(create(path)) as conn:
        take_shipped(conn, folder)
        conn.execute("INSERT INTO names (names) VALUES ('optimize')")
        conn.execute("VACUUM")


def rows() -> Iterator[Row]:
    """Read the data files: one row for each artifact, the curated lists joined in."""
    observed = [_observed(line) for line in _lines("observed.jsonl")]
    curated = {(c["repo_id"], c["filename"]): c for c in _lines("curated.jsonl")}
    for artifact in observed:
        label = curated.pop((artifact.repo, artifact.path), None)
        yield Row(artifact=artifact) if label is None else _curated(artifact, label)
    for label in curated.values():
        yield _curated(_named(label["source"], label["repo_id"], label["filename"]), label)


def _lines(name: str) -> list[dict[str, Any]]:
    text = (DATA / name).read_text(encoding="utf-8")
    return [json.loads(line) for line in text.splitlines() if line.strip()]


def _named(source: str, repo: str, path: str) -> Artifact:
    return Artifact(
        source=source, repo=repo, path=path, attributes=settle(_from_names(source, repo, path))
    )


def _from_names(source: str, repo: str, path: str) -> tuple[Evidence, ...]:
    return guess(repo, path, source=source).evidence


def _observed(line: Mapping[str, Any]) -> Artifact:
    """Translate one row of ``observed.jsonl``."""
    source = _SOURCES.get(line["source"], line["source"])
    repo = line["repo_id"] or _NOWHERE
    path = line["filename"] or ""
    place = public_place(line["seen_in"])
    names = _from_names(source, line["repo_id"] or "", path)
    availability, note = _availability(source, repo, path, place)
    return Artifact(
        source=source,
        repo=repo,
        path=path,
        revision=_revision(line["seen_in"]),
        size_bytes=line["size_bytes"],
        sha256=line["sha256"],
        availability=availability,
        note=note,
        attributes=settle([*names, *_claims(line, place, names)]),
    )


def _availability(source: str, repo: str, path: str, place: str) -> tuple[Availability, str | None]:
    if source == modelzoo.NAME:
        return Availability.MANUAL, modelzoo.by_hand(repo, path)
    if source in {"other", "github"}:
        how = ", and where it lies is not known" if repo == _NOWHERE else ""
        return Availability.MANUAL, f"only a person can fetch it{how}: seen in {place}"
    if not path:
        return Availability.UNNAMED, "its file names were not seen yet: `rkfetch catalog update`"
    if repo.startswith("HanzoHuang/") and _OLD_ORDER.search(path):
        return Availability.GONE, "renamed upstream"
    return Availability.LISTED, None


def _revision(seen_in: str) -> str | None:
    """Return the revision that a listing was seen at, unless it is the default branch."""
    found = re.match(r"https://huggingface\.co/[^/]+/[^/]+/tree/([^/\s]+)", seen_in)
    return None if found is None or found[1] == "main" else found[1]


def _claims(line: Mapping[str, Any], place: str, names: Iterable[Evidence]) -> Iterator[Evidence]:
    """What a row knows beyond its names, with where it was read."""
    in_names = {(e.attribute, e.value.casefold()) for e in names}
    logged = {a: m[1] for a, shape in _LOGGED if (m := shape.search(line["seen_text"] or ""))}
    for attribute, value in logged.items():
        yield _claim(attribute, value, Origin.LOG, place)
    for attribute, column in _COLUMNS:
        value = line[column]
        if value is None or attribute in logged or (attribute, str(value).casefold()) in in_names:
            continue
        by = _NAMED_BY[line["toolkit_version_from"]] if attribute == "toolkit" else Origin.CARD
        yield _claim(attribute, str(value), by, place)


def _curated(artifact: Artifact, label: Mapping[str, Any]) -> Row:
    """Join what the maintained lists say about a file that they pin by hash."""
    evidence = [e for a in artifact.attributes.values() for e in a.evidence]
    for seen_in in label["seen_in"]:
        owner, _, path = seen_in.partition(":")
        place = f"https://github.com/{owner}/blob/main/{path}"
        claims = {
            "toolkit": label["toolkit_labels"].get(owner),
            "platform": label["platform"],
            "quant": label["quant"],
        }
        evidence += [_claim(a, v, Origin.CURATED, place) for a, v in claims.items() if v]
    partner = label["partner"]
    return Row(
        artifact=Artifact(
            source=artifact.source,
            repo=artifact.repo,
            path=artifact.path,
            size_bytes=artifact.size_bytes,
            sha256=label["sha256"],
            curated=True,
            attributes=settle(evidence),
        ),
        companions=()
        if partner is None
        else (
            Companion(
                role="vision",
                repo=partner["repo_id"],
                path=partner["filename"],
                sha256=partner["sha256"],
            ),
        ),
    )


def _claim(attribute: str, value: str, origin: Origin, place: str) -> Evidence:
    return Evidence(
        attribute=attribute, value=value, origin=origin, place=place, seen=SNAPSHOT_DATE
    )


def public_place(seen_in: str) -> str:
    """Turn the data's wording of where a row was seen into an address, where it holds one."""
    found = re.match(r"GitHub (?P<repo>[\w.-]+/[\w.-]+)(?: (?P<rest>.*))?$", seen_in)
    if found is None:
        return seen_in
    rest = found["rest"]
    address = f"https://github.com/{found['repo']}"
    if rest and re.fullmatch(r"[\w./-]+\.\w+", rest):
        return f"{address}/blob/HEAD/{rest}"
    return f"{address} ({rest.strip('()')})" if rest else address


def main() -> None:
    """Rewrite the shipped snapshot."""
    with tempfile.TemporaryDirectory() as place:
        fresh = Path(place) / PUBLISHED.name
        build(fresh, fresh.with_suffix(".db"))
        shutil.rmtree(PUBLISHED, ignore_errors=True)
        shutil.copytree(fresh, PUBLISHED)
        SNAPSHOT.write_bytes(fresh.with_suffix(".db").read_bytes())
    published = sum(file.stat().st_size for file in PUBLISHED.rglob("*") if file.is_file())
    sys.stdout.write(f"{PUBLISHED}: {published} bytes, {SNAPSHOT}: {SNAPSHOT.stat().st_size}\n")


if __name__ == "__main__":
    main()
