"""From a board's own facts to the files on it: resolved for that board, had here, sent there."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from rkfetch.registry.deliver import bytes_there, deliver, no_room
from rkfetch.registry.errors import RkfetchError
from rkfetch.registry.fetch import installed
from rkfetch.registry.record import safe_file_name

from .get import get

if TYPE_CHECKING:
    from collections.abc import Callable

    from rkfetch.registry.asking import Asked
    from rkfetch.registry.deliver import Delivered
    from rkfetch.registry.http import Http
    from rkfetch.registry.limits import Limits
    from rkfetch.registry.link import Link
    from rkfetch.registry.metered import Costs
    from rkfetch.registry.progress import Progress
    from rkfetch.registry.resolve import Policy
    from rkfetch.registry.store import Installed, Store

    from .answer import Answer
    from .database import Catalog
    from .get import Got


@dataclass(frozen=True, slots=True, kw_only=True)
class Sent:
    """One file that is on a board now."""

    item: Installed
    delivered: Delivered


@dataclass(frozen=True, slots=True, kw_only=True)
class Pushed:
    """A model that is on a board now, with what belongs to it."""

    got: Got
    files: tuple[Sent, ...]
    """The model first, then the encoder of a vision model."""

    @property
    def action(self) -> str:
        """``present`` if nothing had to be sent, else ``copied``."""
        there = all(sent.delivered.action == "present" for sent in self.files)
        return "present" if there else "copied"


def require_room(answer: Answer, store: Store, link: Link, folder: str, asked: Asked) -> None:
    """Find out before gigabytes come here that they would find no room there.

    What is here already is not looked at: sending it finds out more exactly.

    Raises:
        DiskSpaceError: there is no room there.
    """
    artifacts = [answer.require().artifact, *answer.companions]
    wanted = [a for a in artifacts if a.size_bytes and installed(store, a) is None]
    need = sum(a.size_bytes or 0 for a in wanted)
    if asked.free_bytes is None or need <= asked.free_bytes:
        return
    for artifact in wanted:
        name = safe_file_name(artifact.path)
        need -= bytes_there(link, folder, name, artifact.sha256, artifact.size_bytes or 0)
    if need > asked.free_bytes:
        raise no_room(link.host.name, folder, need, asked.free_bytes)


def push(
    catalog: Catalog,
    answer: Answer,
    link: Link,
    folder: str,
    *,
    policy: Policy,
    store: Store,
    http: Http | None,
    progress: Progress,
    sending: Callable[[Installed], Progress],
    limits: Limits | None = None,
    costs: Costs | None = None,
) -> Pushed:
    """Have the chosen build here, and then in a folder of the board.

    ``sending`` is told each file before it is sent, and returns who watches that.

    Raises:
        RkfetchError: as `get` and `registry.deliver.deliver`; what was sent goes on another time.
    """
    got = get(
        catalog,
        answer,
        policy=policy,
        store=store,
        http=http,
        progress=progress,
        limits=limits,
        costs=costs,
    )
    belongs = got.companions or tuple(store.companions(got.installed))
    files = []
    for item in (got.installed, *belongs):
        try:
            delivered = deliver(link, item, folder, sending(item))
        except RkfetchError as error:
            error.cause = (*error.cause, f"the file is here: {item.path}")
            raise
        files.append(Sent(item=item, delivered=delivered))
    return Pushed(got=got, files=tuple(files))
