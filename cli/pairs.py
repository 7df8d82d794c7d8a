"""How a vision model is shown: its language half with its encoder, and a half that is alone."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from .output import human_bytes, safe, wrapped

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from rkfetch.catalog.answer import Answer
    from rkfetch.registry.store import Installed, Store

VISION = "vision"


def role_of(item: Installed) -> str:
    """Return what a file is to the model that it belongs to."""
    return item.record.attributes.get("role", {}).get("value") or VISION


def companion_json(item: Installed, *, path: Path | None = None) -> dict[str, Any]:
    """Return a file that is here with a model; ``path`` is where it was placed, if it was."""
    record = item.record.as_json()
    keys = ("source", "repo", "path", "revision", "bytes", "sha256")
    return {
        "role": role_of(item),
        "path": str(path or item.path),
        "artifact": {key: record[key] for key in keys},
        "damaged": item.record.damaged,
    }


def companions_json(answer: Answer) -> list[dict[str, Any]]:
    """Return what comes with the choice, before it is here."""
    from .answers import artifact_json

    return [
        {"role": c.value("role") or VISION, "path": None, "artifact": artifact_json(c)}
        for c in answer.companions
    ]


def companion_lines(answer: Answer, *, lead: str = "    ") -> Iterator[str]:
    """Say what comes with the choice, and how much that is together."""
    for companion in answer.companions:
        size = companion.size_bytes
        words = f"{size_words(size)}, its vision encoder: {companion.path}"
        yield from wrapped(words, lead=f"{lead}and ")
    sizes = [c.size_bytes for c in answer.companions]
    own = answer.choice.artifact.size_bytes if answer.choice is not None else None
    if sizes and own is not None and None not in sizes:
        yield f"{lead}together {human_bytes(own + sum(s or 0 for s in sizes))}"


def size_words(size_bytes: int | None) -> str:
    """Say a size that may not be known."""
    return "of unknown size" if size_bytes is None else human_bytes(size_bytes)


def alone_words(item: Installed, companions: Sequence[Installed]) -> str | None:
    """Say of an installed vision model that its encoder is missing; None of a whole one."""
    from rkfetch.catalog.families import read_model
    from rkfetch.catalog.naming import recorded_model

    name = None if is_encoder(item) else recorded_model(item.record)
    model = read_model(name) if name else None
    if companions or model is None or not model.multimodal:
        return None
    return "only the language half: its vision encoder is not here"


def is_encoder(item: Installed) -> bool:
    """Tell whether a file is an encoder, or another part, and no model by itself."""
    return item.record.path.lower().endswith(".rknn")


def with_companions(store: Store, items: Sequence[Installed]) -> list[Installed]:
    """Return files and what belongs to them, each once: a model before its encoder."""
    found: dict[str, Installed] = {}
    for item in items:
        for each in (item, *store.companions(item)):
            found.setdefault(each.record.sha256, each)
    return list(found.values())


def owners(items: Sequence[Installed]) -> dict[str, list[Installed]]:
    """Return, by the SHA-256 of each file that belongs to others, what it belongs to."""
    found: dict[str, list[Installed]] = {}
    for item in items:
        for sha256 in item.record.companions:
            found.setdefault(sha256, []).append(item)
    return found


def encoder_line(item: Installed) -> str:
    """Write the line of an encoder below its model."""
    damaged = "  DAMAGED: fetch it again" if item.record.damaged else ""
    size = human_bytes(item.record.size_bytes)
    return f"  {item.record.sha256[:12]}  {safe(item.path.name)}  {role_of(item)}, {size}{damaged}"
