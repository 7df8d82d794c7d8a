"""A PC with a vision model, and a board with nothing: two stores and two catalogs."""

from __future__ import annotations

import hashlib
import io
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from rkfetch.catalog.carried.gathering import Chosen, gather
from rkfetch.catalog.carried.making import folder_for
from rkfetch.catalog.carried.places import StreamPlace, opened
from rkfetch.catalog.carried.taking import take_in
from rkfetch.catalog.carried.tarring import write_tar_file
from rkfetch.catalog.database import Catalog
from rkfetch.catalog.files import create
from rkfetch.catalog.writer import Writer
from rkfetch.registry.beside import put
from rkfetch.registry.model import Artifact, Evidence, Origin, settle
from rkfetch.registry.store import Store
from rkllm_files import rkllm_bytes
from rknn_files import rknn_bytes
from stored import add

if TYPE_CHECKING:
    from pathlib import Path

    from rkfetch.catalog.carried.gathering import Load
    from rkfetch.catalog.carried.taking import Taken
    from rkfetch.catalog.published.signing import Signer
    from rkfetch.registry.store import Installed

MODEL = rkllm_bytes(seed=7, body_bytes=200_000)
ENCODER = rknn_bytes("rk3576", seed=7)
SMALL = {"tokenizer.json": b"{}", "LICENSE": b"free\n", "config.json": b'{"a": 1}'}
NAME = "Qwen/Qwen2-VL-2B-Instruct"
HEADER = {
    "platform": {"value": "rk3576", "origin": "header"},
    "toolkit": {"value": "1.2.3", "origin": "header"},
}


def sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


@dataclass
class Machine:
    """A store and a catalog."""

    root: Path
    store: Store = field(init=False)
    db: Path = field(init=False)

    def __post_init__(self) -> None:
        self.root.mkdir()
        self.store = Store(self.root / "store")
        self.db = self.root / "catalog.db"
        create(self.db).close()

    def add(self, content: bytes = MODEL, path: str = "RK3576/qwen2-vl.rkllm", **of: Any) -> Chosen:
        values = {"model": NAME, "attributes": HEADER, "licence": "apache-2.0", **of}
        item = add(self.store, content, path=path, **values)
        said = {"platform": "rk3576", "toolkit": "1.2.3", "model": "Qwen2-VL-2B-Instruct"}
        with Writer.open(self.db) as writer:
            writer.record_artifact(
                Artifact(
                    source="huggingface",
                    repo="alice/models",
                    path=path,
                    revision="c" * 40,
                    size_bytes=len(content),
                    sha256=sha256(content),
                    attributes=settle(
                        Evidence(
                            attribute=name, value=value, origin=Origin.HEADER, place="verified file"
                        )
                        for name, value in said.items()
                    ),
                )
            )
        return Chosen(installed=item)

    def add_pair(self) -> Chosen:
        item = self.add().installed
        encoder = add(self.store, ENCODER, path="vision_rk3576.rknn")
        item = self.store.join(item, encoder)
        for name, content in SMALL.items():
            put(self.store, item, name, content)
        return Chosen(installed=item, companions=(encoder,))

    def load(self, *chosen: Chosen, signer: Signer | None = None) -> Load:
        with Catalog.open(self.db) as catalog:
            return gather(chosen, catalog=catalog, signer=signer)

    def export(self, folder: Path, *chosen: Chosen, signer: Signer | None = None) -> Load:
        with Catalog.open(self.db) as catalog, folder_for(folder) as place:
            load = gather(chosen, catalog=catalog, signer=signer, before=place.before)
            place.write(load)
        return load

    def export_tar(self, path: Path, *chosen: Chosen) -> Path:
        write_tar_file(self.load(*chosen), path)
        return path

    def take(self, place: Path, **how: Any) -> Taken:
        values: dict[str, Any] = {"target": None, **how}
        with Catalog.open(self.db) as catalog, opened(str(place)) as source:
            return take_in(source, store=self.store, catalog=catalog, **values)

    def take_pipe(self, content: bytes) -> Taken:
        with Catalog.open(self.db) as catalog:
            place = StreamPlace(io.BytesIO(content), "the pipe")
            return take_in(place, store=self.store, catalog=catalog, target=None)

    def installed(self, content: bytes = MODEL) -> Installed | None:
        return self.store.find(sha256(content))

    def known(self, content: bytes = MODEL) -> list[Artifact]:
        with Catalog.open(self.db) as catalog:
            return catalog.by_sha256(sha256(content))

    def leftovers(self) -> list[Path]:
        return [*self.store.partials.glob("*.partial"), *self.store.models.glob("*/.*")]
