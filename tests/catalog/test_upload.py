"""A converted file in a repository of the Hub: sent by the real client, found by our own crawl."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from crawls import everything, updated
from hub.server import Fault, Hub
from rkfetch.catalog.cards import read_card, said_of
from rkfetch.catalog.database import Catalog
from rkfetch.catalog.naming import CardFacts, CardText, guess
from rkfetch.catalog.published.selection import Rows
from rkfetch.catalog.upload import Made, reservations, upload
from rkfetch.registry.convert.base import BaseModel
from rkfetch.registry.convert.convention import repository_name
from rkfetch.registry.errors import (
    AuthenticationError,
    IntegrityError,
    NetworkError,
    UsageError,
)
from rkfetch.registry.model import Origin, Platform, Quant
from rkfetch.registry.progress import NoProgress
from rkfetch.registry.rkllm_read import read_file
from rkfetch.registry.store import Store
from rkfetch.registry.versions import Version
from rkllm_files import rkllm_bytes
from stored import add

if TYPE_CHECKING:
    from collections.abc import Iterator

    from conftest import Rkfetch
    from rkfetch.catalog.upload import Uploaded
    from rkfetch.registry.store import Installed

TOKEN = "hf_ann"
BASE = BaseModel(
    name="Qwen2.5-1.5B-Instruct",
    hub_id="Qwen/Qwen2.5-1.5B-Instruct",
    revision="989aa7980e4cf806f80c7fef2b1adb7bc71aa306",
    licence="apache-2.0",
)
MADE = Made(
    base=BASE,
    platform=Platform.RK3576,
    quant=Quant(4, 16),
    toolkit=Version("1.2.3"),
    context=4096,
    parameters={"optimization_level": 1, "quantized_dtype": "w4a16", "num_npu_core": 2},
    environment={"wheel": "sha256:" + "ab" * 32, "image": "sha256:" + "cd" * 32},
    at="2026-11-26T04:00:00+00:00",
)
REPO = "Ann/" + repository_name(BASE.name, MADE.platform, MADE.quant, MADE.toolkit)
FILE = "Qwen2.5-1.5B-Instruct-rk3576-w4a16-ctx4096-v1.2.3.rkllm"
CONTENT = rkllm_bytes(toolkit="1.2.3", platform="rk3576", max_context=4096, file_type=999)
"""Its header does not tell the quantisation, as those of most toolkits do not."""
pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")  # huggingface_hub's own


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch) -> Iterator[Hub]:
    with Hub() as hub:
        hub.tokens.add(TOKEN, user="Ann")
        monkeypatch.setenv("HF_ENDPOINT", hub.endpoint)
        monkeypatch.setenv("HF_TOKEN", TOKEN)
        yield hub


@pytest.fixture
def item(tmp_path: Path) -> Installed:
    return add(Store(tmp_path / "store"), CONTENT, source="conversion", path="model.rkllm")


def send(
    catalog: Catalog, item: Installed, repo: str = REPO, made: Made = MADE, **options: Any
) -> Uploaded:
    return upload(catalog, item, read_file(item.path), made, repo, **options)


def text_of(hub: Hub, name: str, repo: str = REPO) -> str:
    found = hub.find_repo(repo)
    assert found is not None
    return found.head.files[name].content.decode()


def test_it_is_one_commit_with_file_card_and_provenance(
    catalog: Catalog, item: Installed, hub: Hub
) -> None:
    done = send(catalog, item)
    repo = hub.find_repo(REPO)
    assert repo is not None
    assert (done.repo, done.path, done.commit) == (REPO, FILE, repo.commit)
    assert done.reference == f"hf:{REPO}/{FILE}"
    assert done.sent_bytes == len(CONTENT)
    assert not done.private
    assert not repo.private
    assert len(repo.history()) == 2  # its beginning, and this
    assert repo.head.files[FILE].content == CONTENT
    assert repo.head.files[FILE].lfs
    assert repo.card == {
        "license": "apache-2.0",
        "library_name": "rkllm",
        "pipeline_tag": "text-generation",
        "base_model": BASE.hub_id,
        "base_model_relation": "quantized",
        "tags": ["rkllm", "rockchip", "npu", "rk3576", "w4a16"],
    }
    told = json.loads(text_of(hub, "rkfetch.json"))["files"][FILE]
    assert told["base"]["revision"] == BASE.revision
    assert told["sha256"] == item.record.sha256
    assert told["environment"] == MADE.environment
    assert told["parameters"] == {
        "optimization_level": "1",
        "quantized_dtype": "w4a16",
        "num_npu_core": "2",
    }


def test_our_own_crawl_reads_everything_from_it(
    catalog: Catalog, item: Installed, hub: Hub, tmp_path: Path
) -> None:
    send(catalog, item)
    other = tmp_path / "other.db"
    updated(other)
    (found,) = [a for a in everything(other) if a.repo == REPO]
    assert (found.model, found.platform, found.quant) == (BASE.name, MADE.platform, MADE.quant)
    assert (found.toolkits, found.context) == ((MADE.toolkit,), 4096)
    assert found.sha256 == item.record.sha256
    assert found.attribute("quant").origin is Origin.FILE_NAME
    assert found.attribute("toolkit").is_read


def test_the_card_alone_tells_it_all(catalog: Catalog, item: Installed, hub: Hub) -> None:
    send(catalog, item)
    text = text_of(hub, "README.md")
    assert {a: v for a, v, _ in said_of(read_card(text), FILE, {})} == {
        "platform": "rk3576",
        "quant": "w4a16",
        "toolkit": "1.2.3",
        "context": "4096",
        "npu_cores": "2",
    }
    card = CardFacts(base_model=BASE.hub_id, texts=(CardText(text=text, place="card"),))
    found = guess("Ann/x", "model.rkllm", card=card)
    assert (found.model, str(found.toolkit)) == (BASE.name, "1.2.3")


def test_who_asks_for_the_model_gets_it(
    rkfetch: Rkfetch, item: Installed, hub: Hub, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The catalog knows it at once; no update is needed."""
    with Catalog.open() as catalog:
        done = send(catalog, item)
    code, out, err = rkfetch(
        *("fetch", "qwen2.5-1.5b", "--platform", "rk3576", "--runtime", "1.2.3", "--json"),
    )
    assert code == 0, err
    artifact = json.loads(out)["artifact"]
    assert (artifact["repo"], artifact["path"]) == (done.repo, done.path)
    assert artifact["revision"] == done.commit
    assert Path(json.loads(out)["path"]).read_bytes() == CONTENT
    code, out, err = rkfetch("fetch", done.reference, "--runtime", "1.2.3", "--platform", "rk3576")
    assert code == 0, err


def test_what_the_catalog_notes_is_what_an_update_finds(
    catalog: Catalog, path: Path, item: Installed, hub: Hub, tmp_path: Path
) -> None:
    send(catalog, item)
    (noted,) = everything(path)
    updated(path)
    (found,) = everything(path)
    assert noted.attributes.keys() == found.attributes.keys()
    assert {n: a.value for n, a in noted.attributes.items()} == {
        n: a.value for n, a in found.attributes.items()
    }
    assert (noted.revision, noted.sha256) == (found.revision, found.sha256)


def test_a_second_file_adds_a_row_and_keeps_what_people_wrote(
    catalog: Catalog, item: Installed, hub: Hub, tmp_path: Path
) -> None:
    repo = hub.add_repo(REPO, card="---\nlicense: mit\ntags:\n- mine\n---\n# Mine\n\nMy words.\n")
    send(catalog, item)
    first = text_of(hub, "README.md")
    assert first.startswith("---\nlicense: mit\ntags:\n- mine\n- rkllm\n")
    assert "# Mine\n\nMy words.\n\n<!-- rkfetch: begin" in first
    repo.add_file("README.md", (first + "\nBelow.\n").encode(), lfs=False)
    content = rkllm_bytes(toolkit="1.3.0", platform="rk3588", npu_cores=3, max_context=8192)
    other = add(Store(tmp_path / "store"), content, source="conversion", path="m.rkllm")
    made = Made(base=BASE, platform=Platform.RK3588, quant=Quant(8, 8), toolkit=Version("1.3.0"))
    done = send(catalog, other, made=made)
    second = text_of(hub, "README.md")
    assert second.count("<!-- rkfetch: begin") == 1
    assert "# Mine\n\nMy words.\n\n<!-- rkfetch: begin" in second
    assert second.endswith("<!-- rkfetch: end -->\n\nBelow.\n")
    assert "rk3588" in repo.card["tags"]
    assert "RKLLM Toolkit: " not in second  # they differ
    card = CardFacts(texts=(CardText(text=second, place="card"),))
    for name, platform, toolkit in (
        (FILE, Platform.RK3576, "1.2.3"),
        (done.path, Platform.RK3588, "1.3.0"),
    ):
        found = guess("Ann/x", name, card=card)
        assert (found.platform, str(found.toolkit)) == (platform, toolkit)
    assert len(json.loads(text_of(hub, "rkfetch.json"))["files"]) == 2


def test_a_file_that_was_removed_loses_its_row(
    catalog: Catalog, item: Installed, hub: Hub, tmp_path: Path
) -> None:
    send(catalog, item)
    repo = hub.find_repo(REPO)
    assert repo is not None
    repo.remove_file(FILE)
    content = rkllm_bytes(toolkit="1.3.0", file_type=999)
    other = add(Store(tmp_path / "store"), content, source="conversion", path="m.rkllm")
    send(catalog, other)
    assert FILE not in text_of(hub, "README.md")


def test_a_record_that_somebody_broke_is_no_obstacle(
    catalog: Catalog, item: Installed, hub: Hub
) -> None:
    repo = hub.add_repo(REPO, card="---\n: [\n---\nx")
    evil = {"schema_version": 1, "files": {"../x.rkllm": {}, "a.rkllm": {"model": "| `x"}}}
    repo.add_file("rkfetch.json", json.dumps(evil).encode(), lfs=False)
    repo.add_file("a.rkllm", b"x")
    send(catalog, item)
    assert list(json.loads(text_of(hub, "rkfetch.json"))["files"]) == [FILE]
    assert text_of(hub, "README.md").startswith("---\n: [\n---\nx\n\n<!-- rkfetch: begin")


def test_the_same_again_sends_no_content(catalog: Catalog, item: Installed, hub: Hub) -> None:
    send(catalog, item)
    hub.forget()
    assert send(catalog, item).sent_bytes == 0
    assert not [seen for seen in hub.requests if "/lfs-upload/" in seen.path]


def test_a_private_upload_stays_private(
    catalog: Catalog, path: Path, item: Installed, hub: Hub
) -> None:
    done = send(catalog, item, private=True)
    repo = hub.find_repo(REPO)
    assert repo is not None
    assert repo.private
    assert done.private
    assert everything(path)
    assert not list(Rows(catalog, unlisted=False, converted=False).lines.values())


def test_what_was_to_be_private_never_goes_to_a_public_repository(
    catalog: Catalog, item: Installed, hub: Hub
) -> None:
    repo = hub.add_repo(REPO)
    with pytest.raises(UsageError, match="public"):
        send(catalog, item, private=True)
    assert len(repo.history()) == 1
    assert not hub.contents


@pytest.mark.parametrize(
    ("repo", "kind", "message"),
    [
        ("models", UsageError, "names no repository"),
        ("Ann/a b", UsageError, "names no repository"),
        ("Bob/models", AuthenticationError, "the token may not write to Bob/models"),
    ],
)
def test_what_cannot_be_written_is_a_sentence(
    catalog: Catalog, item: Installed, hub: Hub, repo: str, kind: type[Exception], message: str
) -> None:
    with pytest.raises(kind, match=message):
        send(catalog, item, repo)


def test_without_a_token_it_says_how_to_get_one(
    catalog: Catalog, item: Installed, hub: Hub, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("HF_TOKEN")
    with pytest.raises(AuthenticationError, match="needs a token") as caught:
        send(catalog, item)
    assert "HF_TOKEN" in str(caught.value.hint)


def test_a_hub_that_is_down_is_a_sentence(catalog: Catalog, item: Installed, hub: Hub) -> None:
    hub.stop_accepting()
    with pytest.raises(NetworkError, match="the Hub cannot be asked"):
        send(catalog, item)


def test_a_file_that_changed_is_not_sent(catalog: Catalog, item: Installed, hub: Hub) -> None:
    facts = read_file(item.path)
    item.path.write_bytes(CONTENT[:-1] + b"x")
    with pytest.raises(IntegrityError, match="has changed"):
        upload(catalog, item, facts, MADE, REPO)
    assert hub.find_repo(REPO) is None


class _Interrupted(NoProgress):
    """Ends an upload at its first byte, as Ctrl-C would."""

    def __init__(self) -> None:
        self.phases: list[str] = []
        self.reached: list[int] = []

    def phase(self, name: str) -> None:
        self.phases.append(name)

    def advanced(self, received: int) -> None:
        self.reached.append(received)
        if self.phases[-1] == "upload":
            raise KeyboardInterrupt


def test_an_interrupted_upload_publishes_nothing(
    catalog: Catalog, path: Path, item: Installed, hub: Hub
) -> None:
    watcher = _Interrupted()
    with pytest.raises(KeyboardInterrupt):
        send(catalog, item, progress=watcher)
    repo = hub.find_repo(REPO)
    assert repo is not None
    assert list(repo.head.files) == [".gitattributes"]
    assert not everything(path)
    assert watcher.phases == ["verify", "upload"]
    assert max(watcher.reached) == len(CONTENT)
    assert send(catalog, item).path == FILE


class _Told(NoProgress):
    """Keeps why something began anew, and how far the rest came."""

    def __init__(self) -> None:
        self.why: list[str] = []
        self.last = 0

    def restarted(self, reason: str) -> None:
        self.why.append(reason)

    def advanced(self, received: int) -> None:
        self.last = received


def test_what_the_hub_does_not_take_at_once_is_sent_again(
    catalog: Catalog, item: Installed, hub: Hub, capfd: pytest.CaptureFixture[str]
) -> None:
    hub.break_it(Fault(origin="cdn", method="PUT", status=503, times=1))
    watcher = _Told()
    assert send(catalog, item, progress=watcher).sent_bytes == len(CONTENT)
    assert watcher.why == ["the Hub did not take it at once"]
    assert watcher.last == len(CONTENT)
    assert capfd.readouterr() == ("", "")  # the library's own words are none of ours


def test_a_gated_base_and_terms_of_its_own_are_said_beforehand() -> None:
    assert reservations("Qwen/Qwen2.5-1.5B-Instruct", licence="apache-2.0", gated=False) == ()
    licence, gated = reservations("meta-llama/Llama-3.2-1B", licence="llama3.2", gated=True)
    assert "llama3.2 licence" in licence
    assert "is gated" in gated
    assert "no licence" in reservations("mine", licence=None, gated=False)[0]
    for name, word in (
        ("gemma", "Gemma terms"),
        ("cc-by-nc-4.0", "commercial"),
        ("cc-by-nc-nd-4.0", "forbids to pass on"),
        ("other", "terms of its own"),
    ):
        (note,) = reservations("x", licence=name, gated=False)
        assert word in note
