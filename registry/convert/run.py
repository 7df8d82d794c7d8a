"""From a plan to a verified file in the store; whatever fails on the way, nothing else changes.

The toolkit writes in place, deletes what was there when it fails, and says 0 for files that are
cut off. So it gets an empty folder of its own, and what it leaves there is believed only once its
header says what the plan does.
"""

from __future__ import annotations

import datetime as dt
import hashlib
import json
import shutil
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from rkfetch import __version__
from rkfetch.registry.check import no_model
from rkfetch.registry.durable import disk_errors, hash_file, make_directory
from rkfetch.registry.errors import ConversionError
from rkfetch.registry.model import CONVERTED, Origin
from rkfetch.registry.record import Record, attributes_of
from rkfetch.registry.rkllm_read import read_file

from .architectures import supported_since
from .failures import Context, failure_of
from .job import OUTPUT_NAME
from .toolkits import TOOLKITS

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

    from rkfetch.registry.progress import Progress
    from rkfetch.registry.rkllm import RkllmFacts
    from rkfetch.registry.store import Installed, Store

    from .base import BaseModel
    from .environment import Environment, Outcome, Watch
    from .plan import Plan


@dataclass(frozen=True, slots=True, kw_only=True)
class Converted:
    """A file that was made here."""

    installed: Installed
    facts: RkllmFacts
    """What its header says."""
    made: Mapping[str, Any]
    """How it was made: what its record keeps as ``made``."""
    was_here: bool = False
    """It had been made by the same plan before."""


def convert(
    plan: Plan,
    environment: Environment,
    *,
    store: Store,
    watch: Watch,
    progress: Progress,
    fetch: Callable[[BaseModel], BaseModel],
    memory_bytes: int | None = None,
) -> Converted:
    """Make the planned file, verify it and have it in the store.

    ``fetch`` brings the base model here (it is asked after the environment stands, because a
    toolkit that cannot be installed should cost nobody gigabytes). ``memory_bytes`` is the most
    that the toolkit may use. Of two that want the same file at once the second finds the
    first one's.

    Raises:
        ConversionError: the toolkit failed, or made something else than was planned.
        DiskSpaceError: the disk ran full under the toolkit, or before it was reached.
        NetworkError, IntegrityError, AuthenticationError: as `Environment.prepare` and ``fetch``.
    """
    if (here := made_before(plan, store)) is not None:
        return here
    begun = dt.datetime.now(tz=dt.timezone.utc)
    environment.prepare(watch)
    base = fetch(plan.base)
    assert base.path is not None  # that is what fetching is
    key = _key(plan)
    with store.writing(key, waiting=progress.waiting):
        if (here := made_before(plan, store)) is not None:
            return here  # somebody else made it meanwhile
        work = work_folder(store, key)
        _remove(work)
        with disk_errors(store.partials):
            make_directory(work)
        try:
            started = time.monotonic()
            watch.step("converting")
            outcome = environment.run(plan.job(base.path, work), watch, memory_bytes=memory_bytes)
            _require_success(plan, outcome, work, memory_bytes)
            made = {
                **_identity(plan),
                "licence": plan.base.licence,
                "environment": {"name": environment.name, **environment.digests()},
                "started": begun.isoformat(timespec="seconds"),
                "seconds": round(time.monotonic() - started),
                "peak_bytes": outcome.last.values.get("peak_bytes") if outcome.last else None,
            }
            return _taken_in(plan, work / OUTPUT_NAME, made, store=store, progress=progress)
        finally:
            _remove(work)


def made_before(plan: Plan, store: Store) -> Converted | None:
    """Return the file that was made by the same plan before, if it is in the store and sound."""
    identity = _identity(plan)
    for item in store.installed():
        made = item.record.made
        if made is None or any(made.get(name) != value for name, value in identity.items()):
            continue
        sound = store.find(item.record.sha256)
        if sound is not None:
            return Converted(installed=sound, facts=read_file(sound.path), made=made, was_here=True)
    return None


def _identity(plan: Plan) -> dict[str, Any]:
    """Return what two conversions have in common that give the same file."""
    base = plan.base
    is_local = base.hub_id is None and base.path is not None
    return {
        "base": {
            "model": base.hub_id or base.name,
            "revision": base.revision,
            "path": str(base.path) if is_local else None,
            "state": _state(base.path) if is_local and base.path is not None else None,
            "architecture": base.architecture,
        },
        **plan.parameters,
    }


def _state(path: Path) -> str:
    """Return a digest that changes when somebody writes to a file or folder."""
    with disk_errors(path):
        files = [path] if path.is_file() else sorted(p for p in path.rglob("*") if p.is_file())
        stats = [(str(file.relative_to(path)), file.stat()) for file in files]
    said = [(name, status.st_size, status.st_mtime_ns) for name, status in stats]
    return hashlib.sha256(json.dumps(said).encode()).hexdigest()


def work_folder(store: Store, key: str) -> Path:
    """Return where a conversion works: on the store's own disk, and looked after by `gc`."""
    return store.partials / f"{key}.work"


def _key(plan: Plan) -> str:
    return hashlib.sha256(json.dumps(_identity(plan), sort_keys=True).encode()).hexdigest()


def _require_success(plan: Plan, outcome: Outcome, work: Path, memory_bytes: int | None) -> None:
    succeeded = outcome.last is not None and outcome.last.kind == "result"
    if not succeeded or outcome.status != 0:
        raise failure_of(outcome, _context(plan, work, memory_bytes))
    if not (work / OUTPUT_NAME).is_file():
        raise ConversionError(
            "the toolkit said that it succeeded, and left no file",
            cause=list(outcome.tail[-3:]),
            hint="run it again with --debug, and report what is printed",
        )


def _context(plan: Plan, work: Path, memory_bytes: int | None) -> Context:
    since = supported_since(plan.base.architecture) if plan.base.architecture else None
    knowing = [t.version for t in TOOLKITS if since is not None and t.version >= since]
    return Context(
        model=plan.base.words,
        toolkit=plan.toolkit.version,
        platform=plan.target.platform.value,
        dtype=str(plan.quant),
        load_type=plan.dtype,
        knowing=tuple(knowing),
        memory_bytes=memory_bytes,
        work=work.parent,
        work_bytes=plan.needs.work_bytes,
    )


def _taken_in(
    plan: Plan, output: Path, made: Mapping[str, Any], *, store: Store, progress: Progress
) -> Converted:
    facts = read_file(output)
    wrong = contradiction(plan, facts)
    if wrong is not None:
        raise ConversionError(
            "the toolkit made something else than it was told to",
            cause=[wrong, "nothing of it is kept"],
            hint="another --toolkit, or --optimization-level 0, may do better",
        )
    progress.phase("verify")
    with disk_errors(output):
        size = output.stat().st_size
        progress.started(size, 0)
        sha256 = hash_file(output, advanced=progress.advanced).hexdigest()
    progress.phase("install")
    if (here := store.find(sha256)) is not None:
        # Downloaded, or made from the same weights under another name: its path stays good.
        return Converted(installed=here, facts=facts, made=made)
    record = record_of(made, facts, path=plan.file_name, sha256=sha256, size_bytes=size)
    return Converted(installed=store.add(output, record), facts=facts, made=made)


def record_of(
    made: Mapping[str, Any],
    facts: RkllmFacts,
    *,
    path: str,
    sha256: str,
    size_bytes: int,
    endpoint: str | None = None,
) -> Record:
    """Return the record of a file that was made so; what its header says goes first."""
    base = made["base"]
    is_local = base["path"] is not None
    label = {
        name: {"value": str(made[name]), "origin": Origin.FILE_NAME.value}
        for name in ("toolkit", "platform", "quant", "context", "npu_cores")
    }
    return Record(
        sha256=sha256,
        size_bytes=size_bytes,
        source=CONVERTED,
        repo=f"local/{base['model']}" if is_local else base["model"],
        path=path,
        revision=base["revision"],
        endpoint=endpoint,
        model=base["model"],
        attributes={**label, **attributes_of(facts)},
        fetched_at=dt.datetime.now(tz=dt.timezone.utc).isoformat(timespec="seconds"),
        rkfetch=__version__,
        made=made,
    )


def contradiction(plan: Plan, facts: RkllmFacts) -> str | None:
    """Return one sentence that says how a file is not what was planned; None if it is.

    What a release does not write down (1.0.x knows no context and no version) is no contradiction.
    """
    complaint = no_model(facts)
    if complaint is not None:
        return complaint
    if facts.complete is not True:
        return "; ".join(facts.problems) or "nothing at its end tells that it is whole"
    pairs = (
        ("SoC", plan.target.platform, facts.platform),
        ("toolkit", plan.toolkit.version, facts.toolkit),
        ("quantisation", plan.quant, facts.quant),
        ("context", plan.context, facts.max_context),
        ("number of NPU cores", plan.npu_cores, facts.npu_cores),
    )
    for name, planned, actual in pairs:
        if actual is not None and actual != planned:
            shown = getattr(actual, "value", actual), getattr(planned, "value", planned)
            return f"its header says {name} {shown[0]}, and {shown[1]} was asked"
    return None


def _remove(work: Path) -> None:
    # What the toolkit left behind is nobody's; where the disk fails, `gc` removes it later.
    shutil.rmtree(work, ignore_errors=True)
