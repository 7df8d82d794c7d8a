"""``rkfetch import`` of what ``rkfetch export`` made: which names mean one, and what came of it."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from rkfetch.catalog.carried.places import STDIN, folders_at, is_tar
from rkfetch.registry.errors import IncompatibleError

from .output import human_bytes, safe, say, say_wrapped
from .store import installed_json

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rkfetch.catalog.carried.taking import Taken, TakenModel
    from rkfetch.registry.model import Target


def exports_at(name: str) -> list[str]:
    """Return the exports that a name means: a tar file, a folder, or folders right below it.

    Raises:
        IntegrityError: an export is there that was never finished.
    """
    path = Path(name)
    if name == STDIN:
        return [name]
    if path.is_dir():
        return [str(folder) for folder in folders_at(path)]
    return [name] if is_tar(path) and path.exists() else []


def target_of(*, platform: str | None, runtime: str | None, sysroot: str) -> Target | None:
    """Return the board that models have to fit; None where this is none and none was named.

    Raises:
        UsageError: an option cannot be read.
        IncompatibleError: this board's SoC cannot run RKLLM, and no other one was named.
    """
    from rkfetch.registry.target import detect

    from .options import make_target

    if platform is None and not detect(Path(sysroot)).on_board:
        return None
    return make_target(
        platform=platform, runtime=runtime, driver=None, memory=None, context=None, sysroot=sysroot
    )


def model_json(taken: Taken, model: TakenModel) -> dict[str, Any]:
    """Return a model that was taken in, as the answer of `import` has it."""
    return {
        **installed_json(model.installed),
        "from": taken.place,
        "action": model.action,
        "removed": False,
        "recognised_by": None,
        "notes": [model.unfit] if model.unfit else [],
        "companions": [installed_json(companion) for companion in model.companions],
    }


def export_json(taken: Taken) -> dict[str, Any]:
    """Return what came of an export as a whole."""
    learned = taken.learned
    return {
        "from": taken.place,
        "models": [model.installed.record.sha256 for model in taken.models],
        "skipped": [
            {"model": model.model, "sha256": model.main.sha256, "reason": why}
            for model, why in taken.skipped
        ],
        "signed": taken.signed,
        "key": taken.key,
        "catalog": None
        if learned is None
        else {"name": learned.name, "date": learned.date, "rows": learned.rows},
    }


_ACTIONS = {
    "present": "already here",
    "linked": "verified and linked, which takes no room",
    "cloned": "verified and copied with shared blocks, which takes no room",
    "copied": "verified and copied",
}


def say_taken(taken: Taken, *, quiet: bool) -> None:
    """Tell what came, and what did not fit."""
    for model in () if quiet else taken.models:
        record = model.installed.record
        size = human_bytes(record.size_bytes)
        say_wrapped(f"{model.carried.model}, {size}, {_ACTIONS[model.action]}{_with(model)}")
    for carried, why in taken.skipped:
        say_wrapped(f"not taken, for it does not fit this board: {carried.model}: {why}")
    for model in taken.models:
        if model.unfit:
            say_wrapped(f"{model.carried.model}: {model.unfit}", lead="warning: ")
    if taken.note and not quiet:
        say_wrapped(taken.note, lead="note: ")
    if quiet or not taken.models:
        return
    if taken.signed == "known":
        say(f"signed with {safe(taken.key or '')}, a key that this machine knows")
    elif taken.signed == "unknown":
        say_wrapped(
            f"signed with the key {taken.key}, which this machine does not know: what the export "
            "says of itself counts for these models alone"
        )


def _with(model: TakenModel) -> str:
    """Say what came with a model: ``, with vision encoder, tokenizer, licence``."""
    roles = ["vision encoder"] * bool(model.companions)
    roles += [file.role for file in model.carried.beside if file.role != "config"]
    return f", with {', '.join(dict.fromkeys(roles))}" if roles else ""


def none_fits(taken: Taken) -> IncompatibleError:
    """Return what it means that nothing of an export was taken."""
    skipped: Sequence[tuple[Any, str]] = taken.skipped
    return IncompatibleError(
        f"nothing in {taken.place} fits this board",
        cause=[f"{model.model}: {why}" for model, why in skipped],
        hint="export a build for this board (--platform, --runtime); --force takes these all "
        "the same",
    )
