"""A conversion's plan for programs, and from that for people: it may be another machine's."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from .output import human_bytes, safe, wrapped

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from rkfetch.registry.convert.plan import Plan
    from rkfetch.registry.convert.preflight import Chosen


def plan_json(plan: Plan, chosen: Chosen | None) -> dict[str, Any]:
    """Return the plan, and where it would be carried out if that is chosen."""
    base, needs = plan.base, plan.needs
    where = None
    if chosen is not None:
        where = f"container ({chosen.engine.name})" if chosen.engine else "venv"
    return {
        "base": {
            "name": base.name,
            "model": base.hub_id,
            "path": str(base.path) if base.path and not base.hub_id else None,
            "revision": base.revision,
            "architecture": base.architecture,
            "parameters": base.parameters,
            "licence": base.licence,
            "gated": base.gated,
            "code": list(base.code.all),
        },
        "file": plan.file_name,
        **plan.parameters,
        "decisions": [
            {"name": d.name, "value": d.value, "why": d.why, "source": d.source}
            for d in plan.decisions
        ],
        "needs": {
            "memory_bytes": needs.memory_bytes,
            "download_bytes": needs.download_bytes,
            "work_bytes": needs.work_bytes,
            "environment_bytes": needs.environment_bytes,
            "output_bytes": needs.output_bytes,
            "seconds": list(needs.seconds),
        },
        "notes": list(plan.notes),
        "environment": where,
        "warnings": list(chosen.warnings) if chosen else [],
    }


def plan_lines(plan: Mapping[str, Any], *, with_sources: bool = False) -> Iterator[str]:
    """Say what `plan_json` gave; nothing in it is trusted to be fit for a terminal."""
    from rkfetch.registry.convert.needs import MEMORY_SOURCE
    from rkfetch.registry.convert.preflight import duration

    yield f"{safe(_words(plan['base']))}, converted for {safe(plan['platform'])}:"
    for decision in plan["decisions"]:
        if decision["name"] == "base model":
            yield from wrapped(safe(decision["why"]), lead="  ")
            continue
        lead = f"  {safe(decision['name'], limit=40):<17} "
        yield from wrapped(f"{safe(decision['value'])} ({safe(decision['why'])})", lead=lead)
        if decision["source"] and with_sources:
            yield f"{' ' * len(lead)}{safe(decision['source'])}"
    needs = plan["needs"]
    lead = f"  {'it takes about':<17} "
    disk = [
        (needs["download_bytes"], "the base model"),
        (needs["environment_bytes"], "the toolkit"),
        (needs["work_bytes"], "the file, twice"),
    ]
    parts = ", ".join(f"{human_bytes(size)} for {what}" for size, what in disk if size)
    low, high = needs["seconds"]
    yield from wrapped(
        f"{human_bytes(needs['memory_bytes'])} of memory, "
        f"{human_bytes(sum(size for size, _ in disk))} of disk ({parts}), and "
        f"{duration((low, high))} once everything is here",
        lead=lead,
    )
    if with_sources:
        yield f"{' ' * len(lead)}{MEMORY_SOURCE}"
    yield from wrapped(
        f"{safe(plan['file'])}, about {human_bytes(needs['output_bytes'])}",
        lead=f"  {'file':<17} ",
    )
    for note in plan["notes"]:
        yield from wrapped(safe(note), lead="  note: ")


def where_lines(plan: Mapping[str, Any], *, on: str | None = None) -> Iterator[str]:
    """Say where the toolkit would run, and what is uncertain about it; ``on`` is the machine."""
    there = f" on {on}" if on else ""
    if plan["environment"] == "venv":
        yield from wrapped(
            f"It runs in a virtual environment{there}, not in a container: the vendor's code, and "
            "any that lies with the model, can do all that you can."
        )
    elif plan["environment"]:
        yield f"It runs in a {safe(plan['environment'], limit=60)}{there}, without network."
    for warning in plan["warnings"]:
        yield from wrapped(safe(warning), lead="warning: ")


def _words(base: Mapping[str, Any]) -> str:
    """Return what to call a base model: ``Qwen/Qwen2.5-1.5B-Instruct at 989aa7980e4c``."""
    if base["model"] is None:
        return str(base["path"])
    return f"{base['model']} at {base['revision'][:12]}" if base["revision"] else base["model"]
