"""A catalog in a dataset of the Hub: published by the real client, taken in from there."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import pytest

from hub.server import Hub
from rkfetch.catalog.published.form import MANIFEST
from rkfetch.catalog.published.hub import publish_to_hub
from rkfetch.catalog.published.publish import publish
from rkfetch.catalog.published.selection import Rows
from rkfetch.registry.errors import AuthenticationError, NetworkError, UsageError
from rkllm_files import rkllm_bytes

from .conftest import build

if TYPE_CHECKING:
    from collections.abc import Iterator

    from rkfetch.registry.errors import RkfetchError

    from .conftest import Publisher, Subscriber

TOKEN = "hf_ann"
REPO = "Ann/catalog"


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch) -> Iterator[Hub]:
    with Hub() as hub:
        hub.tokens.add(TOKEN, user="Ann")
        monkeypatch.setenv("HF_ENDPOINT", hub.endpoint)
        monkeypatch.setenv("HF_TOKEN", TOKEN)
        yield hub


def rkfetch(publisher: Publisher, *arguments: str) -> dict[str, Any]:
    """Run the command as its own process: huggingface_hub reads its settings at import."""
    home = publisher.db.parent / "their-home"
    home.mkdir(exist_ok=True)
    (home / "catalog.db").unlink(missing_ok=True)
    (home / "catalog.db").hardlink_to(publisher.db)
    key = str(publisher.root / "their.key")
    program = [sys.executable, "-m", "rkfetch", "catalog", "publish", "--key", key, "--json"]
    done = subprocess.run(
        [*program, *arguments],
        env={"PATH": "", "RKFETCH_HOME": str(home), **hub_variables()},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    answer: dict[str, Any] = json.loads(done.stdout)
    return answer


def hub_variables() -> dict[str, str]:
    import os

    names = ("HF_ENDPOINT", "HF_TOKEN", "HF_HOME", "HOME")
    return {name: os.environ[name] for name in names}


def test_it_is_sent_as_one_commit_and_taken_in_from_there(
    publisher: Publisher, subscriber: Subscriber, hub: Hub
) -> None:
    first = rkfetch(publisher, "--hub", REPO)
    dataset = hub.find_dataset(REPO)
    assert dataset is not None
    assert first["where"] == f"hf:{REPO}"
    assert first["commit"] == dataset.commit
    assert len(dataset.history()) == 2  # its beginning, and this
    card = dataset.head.files["README.md"].content.decode()
    assert f"rkfetch catalog update --from hf:{REPO} --key {publisher.key}" in card
    parts = [f for path, f in dataset.head.files.items() if path.endswith(".gz")]
    assert parts
    assert all(part.lfs for part in parts)
    taken = take(subscriber, publisher.key)
    assert (taken.how, len(subscriber.artifacts)) == ("whole", 3)
    assert take(subscriber).how == "unchanged"


def take(subscriber: Subscriber, key: str | None = None) -> Any:
    from datetime import datetime, timezone

    subscriber.now = datetime.now(timezone.utc)  # the command that publishes has the true time
    return subscriber.take(f"hf:{REPO}", key)


def test_only_what_changed_is_sent_and_fetched(
    publisher: Publisher, subscriber: Subscriber, hub: Hub
) -> None:
    publisher.add(*(build(n, repo=f"Ann/R{n}-rk3576") for n in range(100, 700)))
    first = rkfetch(publisher, "--hub", REPO)
    whole = take(subscriber, publisher.key)
    hub.forget()
    again = rkfetch(publisher, "--hub", REPO)
    assert (again["new"], again["sent"]["files"]) == (False, 0)
    assert again["commit"] == first["commit"]
    assert not [seen for seen in hub.requests if "/commit/" in seen.path]
    publisher.add(build(1, toolkit="1.3.0"))
    second = rkfetch(publisher, "--hub", REPO)
    # The manifest, its two signatures, the part with the row, the step, and the page with the
    # table of its SoC and the evidence.
    assert (second["changed_rows"], second["sent"]["files"]) == (1, 8)
    taken = take(subscriber)
    assert (taken.how, taken.changed) == ("changes", 1)
    assert taken.fetched_bytes < whole.fetched_bytes / 10
    publisher.add(build(1, toolkit="1.3.1"))
    third = rkfetch(publisher, "--hub", REPO)
    # The first part with the row, the first signature, and what only the first page read.
    assert third["removed_files"] == 4
    assert take(subscriber).changed == 1


def test_another_branch_is_another_place(publisher: Publisher, hub: Hub) -> None:
    hub.add_dataset(REPO).branch("dev")
    assert rkfetch(publisher, "--hub", REPO, "--revision", "dev")["where"] == f"hf:{REPO}@dev"
    dataset = hub.find_dataset(REPO)
    assert dataset is not None
    assert MANIFEST in dataset.branches["dev"].files
    assert MANIFEST not in dataset.head.files


@pytest.mark.parametrize(
    ("repo", "kind", "message"),
    [
        ("catalog", UsageError, "names no repository"),
        ("Ann/a b", UsageError, "names no repository"),
        ("Bob/catalog", AuthenticationError, "the token may not write to Bob/catalog"),
    ],
)
def test_what_cannot_be_written_is_a_sentence(
    publisher: Publisher, hub: Hub, repo: str, kind: type[RkfetchError], message: str
) -> None:
    with pytest.raises(kind, match=message):
        to_hub(publisher, repo)


def to_hub(publisher: Publisher, repo: str = REPO) -> Any:
    from rkfetch.catalog.database import Catalog

    with Catalog.open(publisher.db) as catalog:
        return publish_to_hub(catalog, repo, name="x", signer=None)


def test_without_a_token_it_says_how_to_get_one(
    publisher: Publisher, hub: Hub, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("HF_TOKEN")
    with pytest.raises(AuthenticationError, match="needs a token") as caught:
        to_hub(publisher)
    assert "HF_TOKEN" in str(caught.value.hint)
    monkeypatch.setenv("HF_TOKEN", "hf_unknown")
    with pytest.raises(AuthenticationError, match="may not write"):
        to_hub(publisher)


def test_a_hub_that_is_down_is_a_sentence(publisher: Publisher, hub: Hub) -> None:
    hub.stop_accepting()
    with pytest.raises(NetworkError, match="the Hub cannot be asked"):
        to_hub(publisher)


@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # huggingface_hub's own, in an upload
def test_somebody_else_who_writes_at_the_same_time_is_not_overwritten(
    publisher: Publisher, hub: Hub, monkeypatch: pytest.MonkeyPatch
) -> None:
    def slow(*arguments: Any, **options: Any) -> Any:
        done = publish(*arguments, **options)
        dataset = hub.find_dataset(REPO)
        assert dataset is not None
        dataset.add_file("theirs.txt", b"x", lfs=False)
        return done

    monkeypatch.setattr("rkfetch.catalog.published.hub.publish", slow)
    with pytest.raises(NetworkError) as caught:
        to_hub(publisher)
    assert caught.value.message == "somebody else wrote to Ann/catalog at the same time", (
        caught.value.cause
    )


def test_a_private_repository_that_a_crawl_found_stays_private(
    publisher: Publisher, hub: Hub
) -> None:
    """The token's owner sees it in the listing, and nobody else does."""
    from rkfetch.catalog.database import Catalog
    from rkfetch.catalog.sources.huggingface import HuggingFace
    from rkfetch.catalog.update import update
    from rkfetch.registry.http import Http
    from rkfetch.registry.hub import hub_token

    for name, private in (("Open-4B-rk3576", False), ("Secret-4B-rk3576", True)):
        repo = hub.add_repo(f"Ann/{name}", tags=("rkllm",), private=private)
        repo.add_file(f"{name}.rkllm", rkllm_bytes(platform="rk3576"))
    with Http(token=hub_token()) as http, HuggingFace(http) as source:
        report = update(source, http, path=publisher.db)
    assert report.builds == 2
    with Catalog.open(publisher.db) as catalog:
        lines = Rows(catalog, unlisted=False, converted=False).lines.values()
    assert any(b"Open-4B" in line for line in lines)
    assert [line for line in lines if b"Secret" in line] == []
