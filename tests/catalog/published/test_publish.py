"""What is published is all that may be, in the same bytes each time, and whole at any moment."""

from __future__ import annotations

import base64
import gzip
import json
import re
import signal
import subprocess
import sys
from dataclasses import replace
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest

from rkfetch.catalog.browsing.site import FOLDER, PAGE, files_of
from rkfetch.catalog.database import Catalog
from rkfetch.catalog.entries import Companion
from rkfetch.catalog.published.form import MANIFEST, SIGNATURE, read_manifest
from rkfetch.catalog.published.publish import publish
from rkfetch.catalog.writer import Writer
from rkfetch.registry.errors import IntegrityError, UsageError
from rkfetch.registry.model import Availability, Evidence, Origin, settle

from .conftest import NOW, REPO, Publisher, build, listed

if TYPE_CHECKING:
    from pathlib import Path

    from rkfetch.registry.model import Artifact

    from .conftest import Subscriber


def files(folder: Path) -> dict[str, bytes]:
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


def lines(folder: Path) -> list[dict[str, Any]]:
    """The rows as anybody else's program would read them."""
    manifest = json.loads((folder / MANIFEST).read_text())
    found = []
    for part in manifest["parts"]:
        content = gzip.decompress((folder / "parts" / f"{part['sha256']}.jsonl.gz").read_bytes())
        found += [json.loads(line) for line in content.splitlines()]
    return found


def page_texts(folder: Path) -> list[str]:
    """The page and all that it reads, unpacked."""
    texts = [(folder / PAGE).read_text()]
    for path in sorted((folder / FOLDER).iterdir()):
        text = path.read_text()
        packed = re.search(r'currentScript,"([^"]+)"', text)
        texts.append(gzip.decompress(base64.b64decode(packed[1])).decode() if packed else text)
    return texts


def as_own(artifact: Artifact) -> Artifact:
    """The artifact as if nobody had published it."""
    evidence = (e for a in artifact.attributes.values() for e in a.evidence)
    return replace(artifact, attributes=settle(replace(e, publisher=None) for e in evidence))


def test_the_shipped_catalog_makes_the_round_trip(tmp_path: Path, subscriber: Subscriber) -> None:
    publisher = Publisher(tmp_path)
    with Catalog.open() as shipped:
        publish(shipped, publisher.folder, name="all", signer=publisher.signer, date=NOW)
        subscriber.take(publisher.folder, publisher.key)
        with Catalog.open(subscriber.path) as taken:
            assert [as_own(a) for a in taken.everything()] == shipped.everything()
            assert taken.models() == shipped.models()
            assert taken.additions() == shipped.additions() != []
            for artifact in shipped.everything():
                assert taken.companions(artifact) == shipped.companions(artifact)
            publishers = {
                e.publisher
                for artifact in taken.everything()
                for attribute in artifact.attributes.values()
                for e in attribute.evidence
                if not e.place.startswith("addition ")  # they speak for themselves
            }
    assert publishers == {"all"}


def test_everything_about_a_build_makes_the_round_trip(
    publisher: Publisher, subscriber: Subscriber
) -> None:
    artifact = replace(
        build(9),
        revision="b" * 40,
        ref="rk3576",
        curated=True,
        gated=True,
        updated="2026-11-01T00:00:00Z",
        note="see the card",
        availability=Availability.MANUAL,
    )
    vision = Companion(role="vision", repo=REPO, path="v.rknn", size_bytes=5, sha256="c" * 64)
    with Writer.open(publisher.db) as writer:
        writer.record_artifact(artifact, companions=[vision], seen="2026-11-24T00:00:00Z")
        repository = listed(
            gated=True,
            downloads=4321,
            likes=7,
            tags=("rkllm",),
            created="2026-10-01T00:00:00Z",
            library="rkllm",
            license="mit",
            base_model="Qwen/Qwen3-4B",
            storage_bytes=5_000_000_000,
        )
        writer.record_repository(repository, seen="2026-11-24T00:00:00Z")
    publisher.publish()
    subscriber.take(publisher.folder, publisher.key)
    with Catalog.open(subscriber.path) as taken:
        (found,) = taken.by_sha256(str(artifact.sha256))
        assert as_own(found) == artifact
        assert taken.companions(found) == (vision,)
        ours = {r.repo: r for r in taken.all_repositories()}
        assert ours[REPO] == replace(repository, downloads=4000)


def test_the_same_catalog_gives_the_same_bytes(publisher: Publisher, tmp_path: Path) -> None:
    for name in ("one", "two"):
        with Catalog.open(publisher.db) as catalog:
            publish(catalog, tmp_path / name, name="x", signer=publisher.signer, date=NOW)
    assert files(tmp_path / "one") == files(tmp_path / "two")
    assert f"{MANIFEST}.minisig" in files(tmp_path / "one")


def test_nothing_is_written_where_nothing_is_new(publisher: Publisher) -> None:
    assert publisher.publish().is_new
    before = {p: p.stat().st_ino for p in publisher.folder.rglob("*")}
    again = publisher.publish()
    assert (again.is_new, again.changed_rows) == (False, 0)
    assert {p: p.stat().st_ino for p in publisher.folder.rglob("*")} == before
    publisher.now += timedelta(days=1)
    renewed = publisher.publish()
    assert (renewed.is_new, renewed.changed_rows) == (True, 0)
    assert renewed.manifest.serial > again.manifest.serial
    assert renewed.manifest.parts == again.manifest.parts


def test_what_is_private_or_lies_on_a_disk_is_left_out(publisher: Publisher) -> None:
    secret = Evidence(attribute="context", value="777", origin=Origin.LOG, place="/home/ann/log")
    mirror = "http://192.168.1.7:8080/Ann/Qwen3-4B-RKLLM/resolve/main/m5.rkllm"
    seen_locally = build(5, place=mirror)
    said = [e for a in seen_locally.attributes.values() for e in a.evidence]
    hidden = build(6, repo="Ann/Hidden-7B-rk3576")
    publisher.add(
        build(4, source="folder", repo="/srv/models", path="FolderModel.rkllm"),
        build(4, source="import", repo="", path="/home/ann/Imported.rkllm"),
        replace(seen_locally, attributes=settle([*said, secret])),
        hidden,
    )
    with Writer.open(publisher.db) as writer:
        writer.record_repository(listed(hidden.repo, private=True), seen="2026-11-24T00:00:00Z")
        # Asked for by its name, with a token: no listing showed it.
        writer.record_artifact(build(7, repo="Ann/HiddenToo-7B-rk3576"))
        # Private until its owner removed it.
        writer.record_repository(listed("Ann/Hidden3", private=True), seen="2026-11-24T00:00:00Z")
        writer.record_artifact(build(8, repo="Ann/Hidden3"))
        writer.drop_repository("huggingface", "Ann/Hidden3", note="removed")
    publisher.publish()
    rows = lines(publisher.folder)
    everything = json.dumps(rows) + "".join(page_texts(publisher.folder))
    for word in ("FolderModel", "Imported", "/srv", "/home", "777", "Hidden", "192.168"):
        assert word not in everything
    (told,) = [row for row in rows if row.get("path") == "m5.rkllm"]
    assert {e["place"] for e in told["evidence"]} == {
        "https://huggingface.co/Ann/Qwen3-4B-RKLLM/resolve/main/m5.rkllm"
    }


def test_a_row_that_readers_would_refuse_is_left_out_with_a_word(publisher: Publisher) -> None:
    publisher.add(build(7, path="a/../../etc.rkllm"), build(8, path="x\x1b[2J.rkllm"))
    done = publisher.publish()
    assert {why for _, why in done.left_out} == {
        "a path cannot be one: its name leads out of the repository",
        "a path cannot be one: its name has control characters",
    }
    assert done.manifest.rows == 3 + 2


def test_parts_stay_for_readers_who_came_before(publisher: Publisher) -> None:
    first = publisher.publish().manifest
    publisher.add(build(1, toolkit="1.3.0"))
    publisher.publish()
    there = files(publisher.folder)
    assert first.referred <= there.keys()
    publisher.add(build(1, toolkit="1.3.1"))
    last = publisher.publish().manifest
    there = files(publisher.folder)
    assert not {part.path for part in first.parts} & there.keys()
    assert last.referred <= there.keys()
    assert sum(name.endswith(".minisig") for name in there) == 3  # two manifests', one plain


def test_the_page_and_the_one_before_find_their_files(publisher: Publisher) -> None:
    publisher.publish()
    first = files_of((publisher.folder / PAGE).read_bytes())
    publisher.add(build(1, toolkit="1.3.0"))
    publisher.publish()
    second = files_of((publisher.folder / PAGE).read_bytes())
    there = files(publisher.folder).keys()
    assert first != second
    assert first | second <= there
    assert "1.3.0" in "".join(page_texts(publisher.folder))
    publisher.add(build(1, toolkit="1.3.1"))
    publisher.publish()
    assert not (first - second) & files(publisher.folder).keys() - files_of(
        (publisher.folder / PAGE).read_bytes()
    )


def test_steps_are_kept_while_they_are_small(publisher: Publisher) -> None:
    publisher.add(*(build(n, repo=f"Ann/R{n}-rk3576") for n in range(100, 250)))
    serials = [publisher.publish().manifest.serial]
    for n in range(3):
        publisher.add(build(100 + n, repo=f"Ann/R{100 + n}-rk3576", toolkit="1.3.0"))
        serials.append(publisher.publish().manifest.serial)
    manifest = read_manifest((publisher.folder / MANIFEST).read_bytes())
    assert [c.since for c in manifest.changes] == serials[:-1]
    for serial in serials:
        assert manifest.way_from(serial) is not None
    publisher.add(*(build(n, repo=f"Ann/R{n}-rk3576", toolkit="1.1.4") for n in range(100, 250)))
    assert publisher.publish().manifest.changes == ()


def test_a_folder_of_something_else_is_left_alone(publisher: Publisher) -> None:
    publisher.folder.mkdir()
    (publisher.folder / "photo.jpg").write_bytes(b"x")
    with pytest.raises(UsageError, match="holds something else"):
        publisher.publish()
    assert [p.name for p in publisher.folder.iterdir()] == ["photo.jpg"]
    (publisher.folder / "photo.jpg").unlink()
    (publisher.folder / MANIFEST).write_text("{}")
    with pytest.raises(IntegrityError, match="cannot be read"):
        publisher.publish()


def test_another_key_is_noticed_before_readers_notice(publisher: Publisher, tmp_path: Path) -> None:
    publisher.publish()
    (tmp_path / "other").mkdir()
    other = Publisher(tmp_path / "other")
    other.folder = publisher.folder
    with pytest.raises(UsageError, match="signed with another key"):
        other.publish()
    assert publisher.publish(signed=False).key is None
    assert not (publisher.folder / SIGNATURE).exists()


def test_a_lost_part_costs_a_step_and_nothing_else(publisher: Publisher) -> None:
    first = publisher.publish().manifest
    for part in first.parts:
        (publisher.folder / part.path).unlink()
    publisher.add(build(4))
    assert publisher.publish().manifest.changes == ()


KILLED = """
import os, signal, sys
from datetime import datetime, timezone
from pathlib import Path
from rkfetch.catalog.database import Catalog
from rkfetch.catalog.published import publish as module, signing
left = int(sys.argv[4])
def counted(function):
    def call(*args, **options):
        global left
        if left == 0:
            os.kill(os.getpid(), signal.SIGKILL)
        left -= 1
        return function(*args, **options)
    return call
module.write_durably = counted(module.write_durably)
Path.unlink = counted(Path.unlink)
signer = signing.Signer.load(Path(sys.argv[3]), password=lambda: "")
with Catalog.open(Path(sys.argv[1])) as catalog:
    module.publish(catalog, Path(sys.argv[2]), name="Board owners", signer=signer,
                   date=datetime(2026, 11, 25, 18, tzinfo=timezone.utc))
"""


def test_a_publisher_that_is_killed_anywhere_leaves_a_whole_catalog(
    publisher: Publisher, subscriber: Subscriber
) -> None:
    """Killed before each of its writes in turn; readers see the old catalog or the new one."""
    old = publisher.publish().manifest.serial
    subscriber.take(publisher.folder, publisher.key)
    publisher.add(build(4), build(1, toolkit="1.3.0"))
    serials, ended = [], -signal.SIGKILL
    for writes in range(40):
        program = [sys.executable, "-c", KILLED, str(publisher.db), str(publisher.folder)]
        program += [str(publisher.root / "their.key"), str(writes)]
        ended = subprocess.run(program, check=False).returncode
        assert ended in {0, -signal.SIGKILL}
        serials.append(subscriber.take(publisher.folder).serial)
        if ended == 0:
            break
    assert ended == 0
    assert serials[0] == old
    assert serials == sorted(serials)
    assert len(subscriber.artifacts) == 4
    assert not list(publisher.folder.rglob(".*"))
    assert (publisher.folder / PAGE).exists()
