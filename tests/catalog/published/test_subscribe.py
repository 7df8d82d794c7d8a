"""What is taken in is what was published, or nothing; and this machine's own word stands."""

from __future__ import annotations

import hashlib
import json
import signal
import subprocess
import sys
import threading
import zlib
from dataclasses import replace
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest

from rkfetch.catalog.database import Catalog
from rkfetch.catalog.observations import VERIFIED
from rkfetch.catalog.published import signing
from rkfetch.catalog.published.form import MANIFEST, SIGNATURE
from rkfetch.catalog.published.places import place_of
from rkfetch.catalog.published.subscribe import forget, take_from
from rkfetch.catalog.writer import Writer
from rkfetch.registry.errors import (
    AuthenticationError,
    IntegrityError,
    NetworkError,
    OfflineError,
    UsageError,
)
from rkfetch.registry.model import Availability, Evidence, Origin

from .conftest import REPO, build, digest, dump, listed

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from rkfetch.registry.errors import (
        RkfetchError,
    )
    from rkfetch.registry.model import Artifact

    from .conftest import Publisher, Server, Subscriber


def manifest_of(publisher: Publisher) -> dict[str, Any]:
    what: dict[str, Any] = json.loads((publisher.folder / MANIFEST).read_text())
    return what


def sign(publisher: Publisher, what: dict[str, Any] | bytes) -> None:
    """Put a manifest in place that the publisher's own key has signed."""
    content = what if isinstance(what, bytes) else json.dumps(what).encode()
    (publisher.folder / MANIFEST).write_bytes(content)
    (publisher.folder / SIGNATURE).write_bytes(publisher.signer.sign(content, "by hand"))


def with_part(publisher: Publisher, content: bytes, **said: Any) -> None:
    """Publish one part that somebody made by hand, signed."""
    squeeze = zlib.compressobj(9, zlib.DEFLATED, 31)
    packed = squeeze.compress(content) + squeeze.flush()
    digest = hashlib.sha256(packed).hexdigest()
    (publisher.folder / "parts" / f"{digest}.jsonl.gz").write_bytes(packed)
    part = {"sha256": digest, "bytes": len(packed), "unpacked": len(content)} | said
    what = manifest_of(publisher)
    sign(publisher, what | {"serial": what["serial"] + 1, "parts": [part], "changes": []})


# --- what is refused ----------------------------------------------------------------------------


def cut_a_part(publisher: Publisher) -> None:
    part = publisher.folder / "parts" / f"{manifest_of(publisher)['parts'][0]['sha256']}.jsonl.gz"
    part.write_bytes(part.read_bytes()[:-7])


def alter_a_part(publisher: Publisher) -> None:
    part = publisher.folder / "parts" / f"{manifest_of(publisher)['parts'][0]['sha256']}.jsonl.gz"
    content = bytearray(part.read_bytes())
    content[40] ^= 1
    part.write_bytes(content)


def lengthen_a_part(publisher: Publisher) -> None:
    part = publisher.folder / "parts" / f"{manifest_of(publisher)['parts'][0]['sha256']}.jsonl.gz"
    part.write_bytes(part.read_bytes() + b"more")


def alter_the_manifest(publisher: Publisher) -> None:
    path = publisher.folder / MANIFEST
    content = path.read_bytes().replace(b'"rows": ', b'"rows":  ')
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    path.write_bytes(content)
    moved = publisher.folder / "parts" / f"{digest}.minisig"
    moved.rename(moved.with_name(f"{hashlib.sha256(content).hexdigest()}.minisig"))


def sign_with_another_key(publisher: Publisher) -> None:
    signing.generate(publisher.root / "other.key", password=None)
    other = signing.Signer.load(publisher.root / "other.key", password=lambda: "")
    content = (publisher.folder / MANIFEST).read_bytes()
    for path in (publisher.folder / "parts").glob("*.minisig"):
        path.unlink()
    (publisher.folder / SIGNATURE).write_bytes(other.sign(content, "x"))


def remove_the_signature(publisher: Publisher) -> None:
    for path in [*(publisher.folder / "parts").glob("*.minisig"), publisher.folder / SIGNATURE]:
        path.unlink()


def sign_with_rubbish(publisher: Publisher) -> None:
    for path in (publisher.folder / "parts").glob("*.minisig"):
        path.write_bytes(b"\xff\x00 no signature\n" * 9)


def grow_the_manifest(publisher: Publisher) -> None:
    with (publisher.folder / MANIFEST).open("ab") as file:
        file.write(b" " * (2 << 20))


def let_it_expire(publisher: Publisher) -> None:
    sign(publisher, manifest_of(publisher) | {"expires": "2026-11-25T20:00:00Z"})


def date_it_tomorrow(publisher: Publisher) -> None:
    sign(publisher, manifest_of(publisher) | {"date": "2026-11-28T00:00:00Z"})


def a_newer_form(publisher: Publisher) -> None:
    sign(publisher, manifest_of(publisher) | {"version": 2})


def another_format(publisher: Publisher) -> None:
    sign(publisher, {"hello": "world"})


def a_bomb(publisher: Publisher) -> None:
    with_part(publisher, b" " * (64 << 20), unpacked=1000)


def an_announced_bomb(publisher: Publisher) -> None:
    with_part(publisher, b" " * (64 << 20))


def a_torn_line(publisher: Publisher) -> None:
    with_part(publisher, b'{"kind": "artifact"')


def a_row_that_leads_out(publisher: Publisher) -> None:
    row = {"kind": "artifact", "source": "huggingface", "repo": "A/B", "path": "../../x.rkllm"}
    with_part(publisher, json.dumps(row).encode() + b"\n")


def too_few_rows(publisher: Publisher) -> None:
    with_part(publisher, b"")


def remove_a_part(publisher: Publisher) -> None:
    for path in (publisher.folder / "parts").glob("*.gz"):
        path.unlink()


def remove_everything(publisher: Publisher) -> None:
    (publisher.folder / MANIFEST).unlink()


REFUSED: list[tuple[Callable[[Publisher], None], type[RkfetchError], str, str]] = [
    (cut_a_part, IntegrityError, "a part of the catalog at .* is cut short", "instead of"),
    (alter_a_part, IntegrityError, "a part of the catalog at .* was altered", "should be"),
    (lengthen_a_part, IntegrityError, "the part .* is larger than it may be", "no more than"),
    (alter_the_manifest, IntegrityError, "was altered after it was signed", "verification failed"),
    (sign_with_another_key, IntegrityError, "is signed with another key", "it is signed with"),
    (remove_the_signature, IntegrityError, "is not signed", "there is no catalog.json.minisig"),
    (sign_with_rubbish, IntegrityError, "its signature cannot be read", "invalid number of lines"),
    (grow_the_manifest, IntegrityError, "the manifest .* is larger than it may be", "1,048,576"),
    (let_it_expire, IntegrityError, "has expired", "to be used until 2026-11-25T20:00:00Z"),
    (date_it_tomorrow, IntegrityError, "is of the future", "published 2026-11-28"),
    (a_newer_form, IntegrityError, "of a form that this rkfetch does not know", "version 2"),
    (another_format, IntegrityError, "the manifest of .* cannot be read", "no manifest of"),
    (a_bomb, IntegrityError, "is not what it should be", "unpacks to more or less"),
    (an_announced_bomb, IntegrityError, "the manifest of .* cannot be read", "larger than any"),
    (a_torn_line, IntegrityError, "is not what it should be", "its last line has no end"),
    (a_row_that_leads_out, IntegrityError, "contradicts itself", "leads out of the repository"),
    (too_few_rows, IntegrityError, "contradicts itself", "it has 0 rows, its manifest says 5"),
    (remove_a_part, NetworkError, "is not there", ""),
    (remove_everything, NetworkError, "there is no published catalog at", "is not there"),
]


@pytest.mark.parametrize(("harm", "kind", "message", "cause"), REFUSED)
@pytest.mark.parametrize("known", [False, True])
def test_harm_is_refused_with_its_own_word_and_changes_nothing(
    publisher: Publisher,
    subscriber: Subscriber,
    harm: Callable[[Publisher], None],
    kind: type[RkfetchError],
    message: str,
    cause: str,
    *,
    known: bool,
) -> None:
    publisher.publish()
    if known:
        subscriber.take(publisher.folder, publisher.key)
        publisher.add(*(replace(a, curated=True) for a in (build(1), build(2))), build(9))
        with Writer.open(publisher.db) as writer:
            writer.reject(build(9), "x")
        publisher.publish()
        # Without the steps, so that the parts matter to who was here before, too.
        what = manifest_of(publisher)
        (publisher.folder / SIGNATURE).unlink()
        for path in (publisher.folder / "parts").glob("*.minisig"):
            path.unlink()
        content = json.dumps(what | {"changes": []}).encode()
        sign(publisher, content)
        own = publisher.folder / "parts" / f"{hashlib.sha256(content).hexdigest()}.minisig"
        own.write_bytes((publisher.folder / SIGNATURE).read_bytes())
    before = dump(subscriber.path)
    harm(publisher)
    with pytest.raises(kind, match=message) as caught:
        subscriber.take(publisher.folder, publisher.key)
    rows = (
        manifest_of(publisher)["rows"]
        if (publisher.folder / MANIFEST).exists() and (harm is too_few_rows)
        else 5
    )
    assert cause.replace("says 5", f"says {rows}") in " ".join(caught.value.cause)
    assert caught.value.hint or kind is NetworkError
    assert dump(subscriber.path) == before


def test_an_older_one_is_refused_and_so_is_another_of_the_same_serial(
    publisher: Publisher, subscriber: Subscriber
) -> None:
    publisher.publish()
    old = manifest_of(publisher)
    publisher.add(build(4))
    publisher.publish()
    new = manifest_of(publisher)
    subscriber.take(publisher.folder, publisher.key)
    before = dump(subscriber.path)
    sign(publisher, old)
    with pytest.raises(IntegrityError, match="is older than what you have of it"):
        subscriber.take(publisher.folder)
    sign(publisher, new | {"name": "Another"})
    with pytest.raises(IntegrityError, match="is not the one that had this serial before"):
        subscriber.take(publisher.folder)
    assert dump(subscriber.path) == before


def test_one_that_expires_while_nothing_is_new_is_refused(
    publisher: Publisher, subscriber: Subscriber
) -> None:
    publisher.publish()
    subscriber.take(publisher.folder, publisher.key)
    subscriber.now += timedelta(days=91)
    with pytest.raises(IntegrityError, match="has expired"):
        subscriber.take(publisher.folder)


# --- keys ---------------------------------------------------------------------------------------


def test_a_key_is_given_once_and_another_one_is_refused(
    publisher: Publisher, subscriber: Subscriber, tmp_path: Path
) -> None:
    publisher.publish()
    with pytest.raises(UsageError, match="no key is known for"):
        subscriber.take(publisher.folder)
    assert subscriber.take(publisher.folder, str(tmp_path / "their.key.pub")).how == "whole"
    assert subscriber.take(publisher.folder).how == "unchanged"
    other = signing.generate(tmp_path / "other.key", password=None)
    with pytest.raises(UsageError, match="another key is remembered") as caught:
        subscriber.take(publisher.folder, other)
    assert publisher.key in caught.value.cause[0]
    assert forget(str(publisher.folder), path=subscriber.path)
    with pytest.raises(IntegrityError, match="is signed with another key"):
        subscriber.take(publisher.folder, other)


def test_unsigned_needs_a_word_each_time_until_a_key_is_known(
    publisher: Publisher, subscriber: Subscriber
) -> None:
    publisher.publish(signed=False)
    with pytest.raises(UsageError, match="no key is known"):
        subscriber.take(publisher.folder)
    assert not subscriber.take(publisher.folder, allow_unsigned=True).signed
    with pytest.raises(UsageError, match="no key is known"):
        subscriber.take(publisher.folder)
    publisher.publish()
    assert subscriber.take(publisher.folder, publisher.key).signed
    # From now on, taking it unsigned is no way out.
    publisher.add(build(4))
    publisher.publish(signed=False)
    with pytest.raises(IntegrityError, match="is not signed"):
        subscriber.take(publisher.folder, allow_unsigned=True)


@pytest.mark.parametrize("text", ["", "RWshort", "/nowhere/key.pub", "x" * 5000])
def test_a_key_that_is_none_is_a_sentence(
    publisher: Publisher, subscriber: Subscriber, text: str
) -> None:
    publisher.publish()
    with pytest.raises(UsageError, match=r"no public key of minisign|no key is known"):
        subscriber.take(publisher.folder, text)


# --- what changes -------------------------------------------------------------------------------


def paths(artifacts: list[Artifact], state: Availability = Availability.LISTED) -> set[str]:
    return {a.path for a in artifacts if a.availability is state and "more/" not in a.path}


def test_only_what_changed_is_fetched(publisher: Publisher, subscriber: Subscriber) -> None:
    publisher.add(*(build(n, repo=f"Ann/R{n % 200}-rk3576") for n in range(100, 1100)))
    publisher.publish()
    whole = subscriber.take(publisher.folder, publisher.key)
    changed = range(100, 110)
    publisher.add(*(build(n, repo=f"Ann/R{n % 200}-rk3576", toolkit="1.3.0") for n in changed))
    publisher.publish()
    taken = subscriber.take(publisher.folder)
    assert (taken.how, taken.changed) == ("changes", 10)
    # A hundredth of the builds, each in another repository, and the manifest.
    assert taken.fetched_bytes < whole.fetched_bytes / 10
    found = {a.path for a in subscriber.artifacts if a.value("toolkit") == "1.3.0"}
    assert found == {f"m{n}.rkllm" for n in changed}


def test_several_steps_are_made_at_once_and_the_whole_where_that_is_less(
    publisher: Publisher, subscriber: Subscriber
) -> None:
    publisher.add(*(build(n) for n in range(100, 200)))
    publisher.publish()
    subscriber.take(publisher.folder, publisher.key)
    for n in (1, 2):
        publisher.add(build(n, toolkit="1.3.0"))
        publisher.publish()
    taken = subscriber.take(publisher.folder)
    assert (taken.how, taken.changed) == ("changes", 2)
    publisher.add(*(build(n, toolkit="1.1.4") for n in range(100, 200)))
    publisher.publish()
    assert subscriber.take(publisher.folder).how == "whole"
    assert {a.value("toolkit") for a in subscriber.artifacts} == {"1.1.4", "1.2.3", "1.3.0"}


@pytest.mark.parametrize(("others", "how"), [(0, "whole"), (100, "changes")])
def test_a_row_that_is_published_no_more_is_gone_unless_we_know_it_ourselves(
    publisher: Publisher, subscriber: Subscriber, others: int, how: str
) -> None:
    more = (build(n, repo="Cal/Q-rk3576", path=f"more/{n}") for n in range(200, 200 + others))
    publisher.add(*more)
    card = Evidence(attribute="context", value="4096", origin=Origin.CARD, place="our card")
    mine = build(50, source="folder", repo="/srv", path="mine.rkllm")
    with Writer.open(subscriber.path) as writer:
        writer.record_artifact(mine)
        writer.record_evidence(replace(build(2), attributes={}), [card])
    publisher.publish()
    subscriber.take(publisher.folder, publisher.key)
    assert paths(subscriber.artifacts) == {"m1.rkllm", "m2.rkllm", "m3.rkllm", "mine.rkllm"}
    with Writer.open(publisher.db) as writer, writer.transaction():
        writer.conn.execute("DELETE FROM artifacts WHERE repo = ?", (REPO,))
        writer.conn.execute("DELETE FROM repositories WHERE repo = ?", (REPO,))
    publisher.publish()
    taken = subscriber.take(publisher.folder)
    assert (taken.how, taken.withdrawn) == (how, 3)
    assert paths(subscriber.artifacts) == {"m2.rkllm", "m3.rkllm", "mine.rkllm"}
    (gone,) = [a for a in subscriber.artifacts if a.availability is Availability.GONE]
    assert (gone.path, gone.attributes) == ("m1.rkllm", {})
    assert gone.note == "no longer in the catalog of Board owners"
    with Catalog.open(subscriber.path) as catalog:
        assert REPO not in {r.repo for r in catalog.all_repositories()}
        (known,) = catalog.by_sha256(digest(2))
    assert {e.place for a in known.attributes.values() for e in a.evidence} == {"our card"}
    # Back again.
    publisher.add(build(1))
    publisher.publish()
    subscriber.take(publisher.folder)
    assert "m1.rkllm" in paths(subscriber.artifacts)


def test_what_this_machine_read_from_a_header_stands(
    publisher: Publisher, subscriber: Subscriber
) -> None:
    publisher.publish()
    own = build(1, toolkit="1.1.4", place="here")
    with Writer.open(subscriber.path) as writer:
        writer.record_artifact(own)  # before, and afterwards for another one
    subscriber.take(publisher.folder, publisher.key)
    with Writer.open(subscriber.path) as writer:
        writer.record_artifact(build(2, toolkit="1.1.4", place="here"))
    publisher.add(build(2, toolkit="1.3.1"))
    publisher.publish()
    subscriber.take(publisher.folder)
    known = {a.path: a.attribute("toolkit") for a in subscriber.artifacts}
    for path in ("m1.rkllm", "m2.rkllm"):
        assert [(e.value, e.publisher) for e in known[path].evidence] == [("1.1.4", None)]
    assert [e.publisher for e in known["m3.rkllm"].evidence] == ["Board owners"]


def test_a_publisher_cannot_reject_what_was_read_here_nor_vouch_for_whole_files(
    publisher: Publisher, subscriber: Subscriber
) -> None:
    publisher.add(build(7, place=VERIFIED))
    with Writer.open(publisher.db) as writer:
        writer.reject(build(1), "they say it is bad")
        writer.reject(build(2), "they say it is bad")
    publisher.publish()
    with Writer.open(subscriber.path) as writer:
        writer.record_artifact(build(1, place="here"))
    subscriber.take(publisher.folder, publisher.key)
    assert paths(subscriber.artifacts, Availability.REJECTED) == {"m2.rkllm"}
    with Writer.open(subscriber.path) as writer:
        assert not writer.observations.is_verified(digest(7))


@pytest.mark.parametrize("ours_is_newer", [False, True])
def test_who_listed_a_repository_later_knows_which_files_it_has(
    publisher: Publisher, subscriber: Subscriber, *, ours_is_newer: bool
) -> None:
    seen = "2026-11-24T12:00:00Z" if ours_is_newer else "2026-11-23T00:00:00Z"
    with Writer.open(subscriber.path) as writer:
        repository = replace(listed(), sha="d" * 40)
        ours = replace(build(1), attributes={})
        writer.sync_repository(repository, [(ours, ())], seen=seen)
    publisher.publish()
    subscriber.take(publisher.folder, publisher.key)
    found = {a.path: a for a in subscriber.artifacts}
    assert found["m1.rkllm"].value("toolkit") == "1.2.3"  # the evidence is welcome either way
    assert ("m2.rkllm" in found) is not ours_is_newer
    with Catalog.open(subscriber.path) as catalog:
        sha = catalog.repositories("huggingface")[REPO.casefold()].sha
    assert sha == ("d" if ours_is_newer else "a") * 40


def test_to_forget_leaves_no_trace(publisher: Publisher, subscriber: Subscriber) -> None:
    with Writer.open(subscriber.path) as writer:
        writer.record_artifact(build(1, place="here"))
    own = subscriber.artifacts
    publisher.publish()
    subscriber.take(publisher.folder, publisher.key)
    assert forget(str(publisher.folder), path=subscriber.path)
    assert not forget(str(publisher.folder), path=subscriber.path)
    gone = [a for a in subscriber.artifacts if a.availability is Availability.GONE]
    assert [a for a in subscriber.artifacts if a not in gone] == own
    assert all(not a.attributes for a in gone)
    with Catalog.open(subscriber.path) as catalog:
        assert catalog.publications() == []
        assert catalog.all_repositories() == []


def test_what_was_taken_in_can_be_published_on(
    publisher: Publisher, subscriber: Subscriber, tmp_path: Path
) -> None:
    publisher.publish()
    subscriber.take(publisher.folder, publisher.key)
    relay = replace_db(publisher, subscriber.path)
    relay.publish(folder=tmp_path / "relay")
    what = json.loads((tmp_path / "relay" / MANIFEST).read_text())
    assert what["rows"] == manifest_of(publisher)["rows"]
    # It has not looked itself: it knows what its publisher knew, as of then.
    assert what["sources"] == {"huggingface": manifest_of(publisher)["date"]}


def replace_db(publisher: Publisher, db: Path) -> Publisher:
    publisher.db = db
    return publisher


# --- over the network ---------------------------------------------------------------------------


def test_a_web_server_is_asked_for_little(
    publisher: Publisher, subscriber: Subscriber, server: Server
) -> None:
    publisher.publish()
    taken = subscriber.take(server.url, publisher.key)
    assert taken.address == server.url
    assert [status for _, status in server.asked] == [200, 200, 200]
    server.asked.clear()
    # As a user may spell it.
    assert subscriber.take(f"{server.url}/catalog.json").how == "unchanged"
    assert server.asked == [("/catalog.json", 304)]


def test_an_interrupted_one_goes_on_with_the_parts_that_it_has(
    publisher: Publisher,
    subscriber: Subscriber,
    server: Server,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("rkfetch.catalog.published.publish._PART_BYTES", 16 << 10)
    publisher.add(*(build(n, repo=f"Ann/R{n}-rk3576") for n in range(100, 150)))
    parts = publisher.publish().manifest.parts
    assert len(parts) >= 2
    server.broken = {parts[1].sha256}
    with pytest.raises(NetworkError):
        subscriber.take(server.url, publisher.key)
    assert subscriber.artifacts == []
    server.broken = set()
    server.asked.clear()
    subscriber.take(server.url, publisher.key)
    asked = [path for path, _ in server.asked]
    assert f"/{parts[0].path}" not in asked
    assert f"/{parts[1].path}" in asked
    assert not subscriber.path.with_name("catalog-parts").exists()


def test_what_is_replaced_while_it_is_read_is_read_anew(
    publisher: Publisher, subscriber: Subscriber, server: Server
) -> None:
    """The manifest came, and its parts are gone: a publisher was faster, twice."""
    old = publisher.publish().manifest
    server.held = {old.parts[0].sha256: threading.Event()}
    done: list[Any] = []
    reader = threading.Thread(
        target=lambda: done.append(subscriber.take(server.url, publisher.key))
    )
    reader.start()
    assert server.reached.wait(60)
    for toolkit in ("1.3.0", "1.3.1"):
        publisher.add(build(1, toolkit=toolkit))
        new = publisher.publish().manifest
    assert not (publisher.folder / old.parts[0].path).exists()
    server.held.popitem()[1].set()
    reader.join(60)
    assert done[0].serial == new.serial


def test_a_server_that_always_says_unchanged_is_found_out(
    publisher: Publisher, subscriber: Subscriber
) -> None:
    class Frozen:
        address = "https://a.example"

        def get(self, *_: Any, **__: Any) -> None:
            return None

    def take() -> Any:
        return take_from(
            Frozen(), key=publisher.key, path=subscriber.path, clock=lambda: subscriber.now
        )

    with pytest.raises(NetworkError, match="though it was not asked that"):
        take()
    Frozen.address = str(publisher.folder)
    publisher.publish()
    subscriber.take(publisher.folder, publisher.key)
    assert take().how == "unchanged"
    subscriber.now += timedelta(days=91)
    with pytest.raises(IntegrityError, match="has expired"):
        take()


def test_a_server_that_wants_a_password_is_a_sentence(subscriber: Subscriber) -> None:
    from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

    class Closed(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_error(403)

        def log_message(self, format: str, *args: Any) -> None:  # noqa: A002
            """Say nothing."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Closed) as closed:
        threading.Thread(target=closed.serve_forever, daemon=True).start()
        with pytest.raises(AuthenticationError, match="answered 403"):
            subscriber.take(f"http://127.0.0.1:{closed.server_address[1]}/x", allow_unsigned=True)
        closed.shutdown()


def test_places_have_one_name_however_they_are_spelt(
    subscriber: Subscriber, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    def address(text: str) -> str:
        return place_of(text, subscriber.http).address

    assert address("https://a.example/x/") == address("https://a.example/x/catalog.json?y#z")
    assert address("hf:Ann/cat") == address("hf:datasets/Ann/cat") == "hf:Ann/cat"
    assert address("hf:Ann/cat@dev") == "hf:Ann/cat@dev"
    monkeypatch.chdir(tmp_path)
    folder = str(tmp_path / "my folder")
    assert address("my folder") == address(f"file://{tmp_path}/my%20folder") == folder
    for text in ("hf:Ann", "hf:a/b/c", "ftp://a/b", "gopher:x"):
        with pytest.raises(UsageError):
            place_of(text, subscriber.http)
    for text in ("https://a.example/x", "hf:Ann/cat"):
        with pytest.raises(OfflineError):
            place_of(text, None)


# --- killed -------------------------------------------------------------------------------------

KILLED = """
import os, signal, sys
from datetime import datetime, timezone
from pathlib import Path
from rkfetch.catalog.published import subscribe, taking
from rkfetch.catalog.published.places import place_of
left = int(sys.argv[4])
def counted(function):
    def call(*args, **options):
        global left
        if left == 0:
            os.kill(os.getpid(), signal.SIGKILL)
        left -= 1
        return function(*args, **options)
    return call
subscribe.write_durably = counted(subscribe.write_durably)
taking.Taking._take = counted(taking.Taking._take)
taking.Taking._finish = counted(taking.Taking._finish)
subscribe.shutil.rmtree = counted(subscribe.shutil.rmtree)
subscribe.take_from(place_of(sys.argv[2], None), key=sys.argv[3], path=Path(sys.argv[1]),
                    clock=lambda: datetime(2026, 11, 26, tzinfo=timezone.utc))
"""


def test_one_that_is_killed_anywhere_has_taken_all_or_nothing(
    publisher: Publisher, subscriber: Subscriber
) -> None:
    publisher.publish()
    before, ended = dump(subscriber.path), -signal.SIGKILL
    states = []
    for steps in range(40):
        program = [sys.executable, "-c", KILLED, str(subscriber.path), str(publisher.folder)]
        ended = subprocess.run([*program, publisher.key, str(steps)], check=False).returncode
        assert ended in {0, -signal.SIGKILL}
        states.append("none" if dump(subscriber.path) == before else "all")
        if ended == 0:
            break
        assert len(subscriber.artifacts) in {0, 3}
    assert ended == 0
    assert states == sorted(states, reverse=True)
    assert {"none", "all"} == set(states)
    assert len(subscriber.artifacts) == 3
