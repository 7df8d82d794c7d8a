"""Whatever happens to a download on its way, what arrives is the file."""

from __future__ import annotations

import contextlib
import hashlib
import random
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from downloads import FILE, REPO, Watcher, always, artifact, quick_http
from hub.server import Fault, Hub
from rkfetch.registry import transfer
from rkfetch.registry.errors import NetworkError
from rkfetch.registry.hub import HubFile
from rkfetch.registry.journal import journal_of
from rkfetch.registry.route import Route

if TYPE_CHECKING:
    from collections.abc import Iterator

SIZE = 100_000
CONTENT = random.Random(0).randbytes(SIZE)

offsets = st.integers(min_value=1, max_value=SIZE - 1)
mishaps = st.tuples(
    st.sampled_from(
        [
            "drop",
            "reset",
            "stall",
            "interrupt",
            "tear",
            "forget ranges",
            "new etag",
            "lose journal",
            "flip on the disk",
            "refuse",
        ]
    ),
    offsets,
)


@pytest.fixture(scope="module")
def hub() -> Iterator[Hub]:
    with Hub() as hub:
        hub.add_repo(REPO).add_file(FILE, CONTENT)
        yield hub


@pytest.mark.parametrize("connections", [1, 5])
@settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(accidents=st.lists(mishaps, max_size=6))
def test_any_sequence_of_accidents_gives_the_same_bytes(
    hub: Hub, monkeypatch: pytest.MonkeyPatch, connections: int, accidents: list[tuple[str, int]]
) -> None:
    monkeypatch.setenv("HF_ENDPOINT", hub.endpoint)
    with (
        tempfile.TemporaryDirectory() as folder,
        quick_http(stall_timeout_s=0.3) as http,
        always(connections, stride=7000),
    ):
        partial = Path(folder) / "x.partial"
        source = HubFile(http=http, artifact=artifact())
        for kind, at in accidents:
            hub.heal()
            _prepare(hub, partial, kind, at)
            watcher = Watcher(interrupt_at=at if kind in {"interrupt", "tear"} else None)
            with contextlib.suppress(NetworkError, KeyboardInterrupt):
                transfer.download(http, [Route(source)], partial=partial, progress=watcher)
        hub.heal()
        hub.forget()
        done = transfer.download(http, [Route(source)], partial=partial)
        assert partial.read_bytes() == CONTENT
        assert done.sha256 == hashlib.sha256(CONTENT).hexdigest()
        assert done.received_bytes == SIZE - done.resumed_from
        if "flip on the disk" not in dict(accidents):  # else it may have taken a second try
            # Whoever takes work over may bring a little that was on its way already.
            assert hub.data_bytes() <= (SIZE - done.resumed_from) + (connections - 1) * 7000


def _prepare(hub: Hub, partial: Path, kind: str, at: int) -> None:
    match kind:
        case "drop":
            hub.break_it(Fault(drop_after=at, times=3))
        case "reset":
            hub.break_it(Fault(reset_after=at, times=3))
        case "stall":
            hub.break_it(Fault(stall_after=at, stall_s=0.2, times=2))
        case "interrupt":
            hub.hold("*", at)
        case "forget ranges":
            hub.break_it(Fault(ignore_range=True, drop_after=at, times=2))
        case "new etag":
            hub.break_it(Fault(etag=f'"{at}"', drop_after=at, times=1))
        case "refuse":
            hub.break_it(Fault(origin="cdn", status=503, times=at % 4))
        case "tear" if partial.exists():
            with partial.open("ab") as file:
                file.write(b"torn" * at)
        case "flip on the disk" if partial.exists() and partial.stat().st_size:
            with partial.open("r+b") as file:
                file.seek(at % partial.stat().st_size)
                file.write(b"?")
        case "lose journal":
            journal_of(partial).unlink(missing_ok=True)
