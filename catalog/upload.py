"""Publish a converted file in a model repository of the Hub, with its card and how it was made.

One commit has the file, the card and `model_card.PROVENANCE`; until then nothing is published,
whatever ends it. The catalog knows the upload at once, as an update would find it later.
"""

from __future__ import annotations

import io
import tempfile
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rkfetch.registry.convert.base import BaseModel
from rkfetch.registry.convert.convention import file_name
from rkfetch.registry.errors import (
    AuthenticationError,
    IntegrityError,
    RkfetchError,
    UsageError,
)
from rkfetch.registry.model import Artifact, Platform, Quant, settle
from rkfetch.registry.progress import NoProgress
from rkfetch.registry.versions import Version

from .entries import Repository
from .hub_writing import writing_to
from .licences import licence_note
from .model_card import (
    CARD,
    PROVENANCE,
    Variant,
    card,
    kept,
    plain_texts,
    provenance_json,
    read_provenance,
)
from .naming import CardFacts, guess
from .probe import note_file
from .writer import Writer, now

if TYPE_CHECKING:
    from collections.abc import Mapping

    from huggingface_hub import HfApi
    from huggingface_hub.hf_api import ModelInfo

    from rkfetch.registry.convert.run import Converted
    from rkfetch.registry.progress import Progress
    from rkfetch.registry.rkllm import RkllmFacts
    from rkfetch.registry.store import Installed

    from .database import Catalog

_SOURCE = "huggingface"
_LARGEST_NOTE = 1 << 20
"""Bytes of a card or record that is read."""
_PARAMETERS = ("algorithm", "optimization_level", "npu_cores", "hybrid_rate", "dataset", "dtype")
"""What is said of it beside what the file's name says."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Made:
    """How a file was made. What its header says goes before what is said here."""

    base: BaseModel
    platform: Platform
    quant: Quant
    toolkit: Version
    context: int | None = None
    parameters: Mapping[str, Any] = field(default_factory=dict)
    """What the toolkit was told, by name: ``quantized_dtype``, ``optimization_level``."""
    environment: Mapping[str, str] = field(default_factory=dict)
    """Digests by name, as `Environment.digests` gives them."""
    at: str | None = None
    """RFC 3339."""

    @classmethod
    def of(cls, converted: Converted) -> Made:
        """Return how a file was made that was converted here, or brought here."""
        made = converted.made
        base = made["base"]
        return cls(
            base=BaseModel(
                name=base["model"].rpartition("/")[2],
                hub_id=base["model"] if base["path"] is None else None,
                revision=base["revision"],
                licence=made["licence"],
            ),
            platform=Platform(made["platform"]),
            quant=Quant.parse(made["quant"]),
            toolkit=Version(made["toolkit"]),
            context=made["context"],
            parameters={n: made[n] for n in _PARAMETERS if made.get(n) is not None},
            environment=made.get("environment", {}),
            at=made["started"],
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Uploaded:
    """Where a file lies now."""

    repo: str
    path: str
    commit: str
    url: str
    """Of the repository's page."""
    private: bool
    sent_bytes: int
    """0 if the Hub had the content already."""

    @property
    def reference(self) -> str:
        """What to type to get it: ``hf:OWNER/NAME/FILE.rkllm``."""
        return f"hf:{self.repo}/{self.path}"


def reservations(name: str, *, licence: str | None, gated: bool) -> tuple[str, ...]:
    """Return what to know before a build of a model is published, to be shown when asking."""
    notes = [licence_note(licence, base=name)]
    if gated:
        notes.append(
            f"{name} is gated: its owner gives it only to those who accept its terms, and a "
            "public upload gives this build to everybody"
        )
    return tuple(note for note in notes if note)


def require_access(repo: str) -> None:
    """Ask the Hub whether its token may write to a repository: better before half an hour's work.

    Raises:
        UsageError: ``repo`` is no name.
        AuthenticationError: there is no token, it may only read, or it is of somebody else.
        NetworkError: the Hub cannot be asked.
    """
    with writing_to(repo, option="--upload") as api:
        account = api.whoami()
    owner = repo.partition("/")[0]
    names = [account.get("name"), *(o.get("name") for o in account.get("orgs") or ())]
    if owner.lower() not in {str(name).lower() for name in names if name}:
        raise AuthenticationError(
            f"the token may not write to {repo}",
            cause=[f"it belongs to {names[0]}"],
            hint=f"--upload {names[0]}, or another token (HF_TOKEN)",
        )
    token = (account.get("auth") or {}).get("accessToken") or {}
    if token.get("role") == "read":
        raise AuthenticationError(
            f"the token may not write to {repo}",
            cause=["it is one that may only read"],
            hint="make one that may write at https://huggingface.co/settings/tokens",
        )


def upload(
    catalog: Catalog,
    installed: Installed,
    facts: RkllmFacts,
    made: Made,
    repo: str,
    *,
    private: bool = False,
    progress: Progress | None = None,
) -> Uploaded:
    """Publish a file of the store in a repository, which is made if it is not there.

    ``progress`` is told the phases ``verify`` and ``upload``. A card that is there already is
    kept but for the block that an upload made.

    Raises:
        UsageError: ``repo`` is no name; or it is public, and ``private`` was asked for.
        AuthenticationError: there is no token, or it may not write there.
        IntegrityError: the file has changed since it was made.
        NetworkError: the Hub cannot be asked, or somebody else writes at the same time.
    """
    variant = _variant(installed, facts, made)
    with writing_to(repo, option="--upload") as api:
        task = _Upload(api, repo, progress or NoProgress())
        done = task.run(installed, variant, private=private)
    _note(catalog, done, variant, facts)
    return done


def _variant(installed: Installed, facts: RkllmFacts, made: Made) -> Variant:
    platform = facts.platform or made.platform
    quant, toolkit = facts.quant or made.quant, facts.toolkit or made.toolkit
    context = facts.max_context or made.context
    base = made.base
    return Variant(
        file=file_name(base.name, platform, quant, toolkit, context),
        model=base.name,
        platform=platform,
        quant=quant,
        toolkit=toolkit,
        context=context,
        npu_cores=facts.npu_cores,
        size_bytes=installed.record.size_bytes,
        sha256=installed.record.sha256,
        base=base.hub_id,
        revision=base.revision,
        licence=base.licence,
        parameters=plain_texts(made.parameters),
        environment=plain_texts(made.environment),
        made=made.at,
    )


class _Upload:
    """One upload on its way."""

    def __init__(self, api: HfApi, repo: str, progress: Progress) -> None:
        self._api = api
        self._repo = repo
        self._progress = progress

    def run(self, installed: Installed, variant: Variant, *, private: bool) -> Uploaded:
        """Send everything; return where it is."""
        from huggingface_hub import CommitOperationAdd

        with installed.path.open("rb", buffering=0) as raw, _Watched(raw) as content:
            # First what takes no network: this reads and hashes the whole file.
            self._begin("verify", content, variant)
            operation = CommitOperationAdd(variant.file, content)
            if operation.upload_info.sha256.hex() != variant.sha256:
                raise IntegrityError(
                    f"{installed.path} has changed since it was made",
                    expected=variant.sha256,
                    actual=operation.upload_info.sha256.hex(),
                    hint="rkfetch verify",
                )
            self._api.create_repo(self._repo, private=private or None, exist_ok=True)
            info = self._api.model_info(self._repo, files_metadata=True)
            if private and not info.private:
                raise UsageError(
                    f"{self._repo} is there already, and public",
                    hint="name another repository, or make it private on its page first",
                )
            notes = self._notes(info)
            there = {sibling.rfilename for sibling in info.siblings or ()}
            others = kept(read_provenance(notes.get(PROVENANCE, "")), there)
            variants = [*(v for v in others if v.file != variant.file), variant]
            text = card(notes.get(CARD), self._repo, variants)
            self._begin("upload", content, variant)
            done = self._api.create_commit(
                self._repo,
                [
                    operation,
                    CommitOperationAdd(CARD, text.encode()),
                    CommitOperationAdd(PROVENANCE, provenance_json(variants).encode()),
                ],
                commit_message=f"Upload {variant.file}",
                parent_commit=str(info.sha),
            )
            sent = content.reached
        return Uploaded(
            repo=self._repo,
            path=variant.file,
            commit=str(done.oid),
            url=f"{self._api.endpoint}/{self._repo}",
            private=bool(info.private),
            sent_bytes=sent,
        )

    def _begin(self, phase: str, content: _Watched, variant: Variant) -> None:
        content.watch(self._progress, sending=phase == "upload")
        self._progress.phase(phase)
        self._progress.started(variant.size_bytes, 0)

    def _notes(self, info: ModelInfo) -> dict[str, str]:
        """Fetch the card and the record of former uploads, where they are."""
        found = {}
        with tempfile.TemporaryDirectory(prefix="rkfetch-upload-") as folder:
            for sibling in info.siblings or ():
                name = sibling.rfilename
                if name in {CARD, PROVENANCE} and (sibling.size or 0) <= _LARGEST_NOTE:
                    place = self._api.hf_hub_download(
                        self._repo, name, revision=info.sha, local_dir=folder
                    )
                    found[name] = Path(place).read_text("utf-8", "replace")
        return found


class _Watched(io.BufferedReader):
    """A file that tells how far it was read, and when it is read again from the start."""

    _progress: Progress = NoProgress()
    _sending = False
    reached = 0

    def watch(self, progress: Progress, *, sending: bool) -> None:
        """Count from the beginning; what is hashed may be read again and nobody need know."""
        self._progress, self._sending, self.reached = progress, sending, 0

    def read(self, size: int | None = -1, /) -> bytes:
        """Read, and tell."""
        if self._sending and self.tell() < self.reached:
            self.reached = 0
            self._progress.restarted("the Hub did not take it at once")
        data = super().read(size)
        if data:
            self.reached = self.tell()
            self._progress.advanced(self.reached)
        return data


def _note(catalog: Catalog, done: Uploaded, variant: Variant, facts: RkllmFacts) -> None:
    """Let the catalog know the upload; one that cannot be written is no obstacle."""
    if catalog.read_only:
        return
    page = f"https://huggingface.co/{done.repo}/blob/main/{CARD}"
    said = CardFacts(base_model=variant.base, place=page)
    artifact = Artifact(
        source=_SOURCE,
        repo=done.repo,
        path=done.path,
        revision=done.commit,
        size_bytes=variant.size_bytes,
        sha256=variant.sha256,
        attributes=settle(guess(done.repo, done.path, card=said).evidence),
    )
    if catalog.listed(_SOURCE, done.repo) is None:
        # Without a commit: the next update looks at all of it.
        repository = Repository(
            source=_SOURCE,
            repo=done.repo,
            private=done.private,
            library="rkllm",
            license=variant.licence,
            base_model=variant.base,
        )
        with suppress(RkfetchError), Writer.open(catalog.path) as writer:
            writer.record_repository(repository, seen=now())
    note_file(catalog, artifact, variant.sha256, facts)
