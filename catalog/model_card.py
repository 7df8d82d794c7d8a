"""The model card of a repository with converted files, and the record that it is made from.

Pure. `PROVENANCE` holds everything about each file; the card's table is made from it, so that it
grows with each upload. Of a card that is there already only the block between our two marks is
replaced; to its front matter only what is missing is added.
"""

from __future__ import annotations

import json
import re
import unicodedata
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from rkfetch.registry.model import Platform, Quant
from rkfetch.registry.versions import as_version

from . import border
from .licences import attribution

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping, Sequence

    from rkfetch.registry.versions import Version

CARD = "README.md"
PROVENANCE = "rkfetch.json"
BEGIN = "<!-- rkfetch: begin (this block is replaced by the next upload) -->"
END = "<!-- rkfetch: end -->"
_SCHEMA_VERSION = 1
_HIDDEN = {"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"}
_FILE = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,199}\.rkllm")
_REPO = re.compile(r"[\w.-]+/[\w.-]+", re.ASCII)
_LONGEST_VALUE = 200
_MOST_VALUES = 40


@dataclass(frozen=True, slots=True, kw_only=True)
class Variant:
    """One converted file, as the card and `PROVENANCE` tell of it."""

    file: str
    model: str
    """The plain name of the base model."""
    platform: Platform
    quant: Quant
    toolkit: Version
    size_bytes: int
    sha256: str
    context: int | None = None
    npu_cores: int | None = None
    base: str | None = None
    """The base model's id on the Hub; None for one of somebody's own machine."""
    revision: str | None = None
    licence: str | None = None
    parameters: Mapping[str, str] = field(default_factory=dict)
    """What the toolkit was told, by name."""
    environment: Mapping[str, str] = field(default_factory=dict)
    """What made it: wheel, image and so on, each with its digest."""
    made: str | None = None
    """RFC 3339."""

    def as_json(self) -> dict[str, Any]:
        """Return what `read_provenance` reads."""
        return {
            "model": self.model,
            "base": {"repo": self.base, "revision": self.revision, "licence": self.licence},
            "platform": self.platform.value,
            "quant": str(self.quant),
            "toolkit": str(self.toolkit),
            "context": self.context,
            "npu_cores": self.npu_cores,
            "bytes": self.size_bytes,
            "sha256": self.sha256,
            "parameters": dict(self.parameters),
            "environment": dict(self.environment),
            "made": self.made,
        }


def provenance_json(variants: Iterable[Variant]) -> str:
    """Write the record of all files of a repository."""
    files = {v.file: v.as_json() for v in sorted(variants, key=lambda v: v.file)}
    return json.dumps({"schema_version": _SCHEMA_VERSION, "files": files}, indent=1) + "\n"


def read_provenance(text: str) -> tuple[Variant, ...]:
    """Read what `provenance_json` wrote; what makes no sense, whoever wrote it, is left out."""
    try:
        values = json.loads(text)
        files = values["files"].items() if values["schema_version"] == _SCHEMA_VERSION else ()
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return ()
    return tuple(v for name, said in files if (v := _variant(name, said)) is not None)


def _variant(name: str, said: Any) -> Variant | None:
    try:
        base = said["base"]
        platform, quant = Platform(said["platform"]), Quant.read(said["quant"])
        toolkit, digest = as_version(said["toolkit"]), border.digest(said["sha256"])
        size = border.count(said["bytes"])
        if None in (quant, toolkit, digest, size) or not _FILE.fullmatch(name):
            return None
        return Variant(
            file=name,
            model=_plain(said["model"]),
            platform=platform,
            quant=quant,  # type: ignore[arg-type]  # none of these is None
            toolkit=toolkit,  # type: ignore[arg-type]
            sha256=digest,  # type: ignore[arg-type]
            size_bytes=size,  # type: ignore[arg-type]
            context=border.count(said["context"]),
            npu_cores=border.count(said["npu_cores"]),
            base=base["repo"] if base["repo"] and _REPO.fullmatch(base["repo"]) else None,
            revision=border.commit(base["revision"]),
            licence=_optional(base["licence"]),
            parameters=plain_texts(said["parameters"]),
            environment=plain_texts(said["environment"]),
            made=_optional(said["made"]),
        )
    except (ValueError, KeyError, TypeError, AttributeError):
        return None


def _optional(value: Any) -> str | None:
    return None if value is None else _plain(value)


def plain_texts(values: Mapping[str, Any]) -> dict[str, str]:
    """Return names and values as one line of text each, fit for a card."""
    items = list(values.items())[:_MOST_VALUES]
    return {_plain(name): _plain(value) for name, value in items}


def _plain(value: Any) -> str:
    """Return one line of text that means nothing to Markdown's tables, code blocks or to HTML."""
    text = "".join(c for c in str(value) if unicodedata.category(c) not in _HIDDEN)
    return re.sub(r"[`|<>]", "", text)[:_LONGEST_VALUE].strip()


# --- the card -------------------------------------------------------------------------------------


def card(existing: str | None, repo: str, variants: Sequence[Variant]) -> str:
    """Return the card of a repository with these files, made from the one that is there, if any."""
    variants = sorted(variants, key=lambda v: v.file)
    title = f"\n# {repo.rpartition('/')[2]}\n\n"
    text = _with_front_matter(existing if existing is not None else title, variants)
    block = _block(repo, variants)
    before, begin, rest = text.partition(BEGIN)
    _, end, after = rest.partition(END)
    if begin and end:
        return f"{before}{block}{after}"
    return f"{text.rstrip()}\n\n{block}\n"


def _with_front_matter(text: str, variants: Sequence[Variant]) -> str:
    from huggingface_hub import ModelCard, ModelCardData
    from huggingface_hub.repocard import REGEX_YAML_BLOCK

    wanted = _front_matter(variants)
    if not REGEX_YAML_BLOCK.search(text):
        return f"---\n{ModelCardData(**wanted).to_yaml()}\n---\n{text}"
    try:
        found = ModelCard(text, ignore_metadata_errors=True)
    except Exception:  # noqa: BLE001 - YAML that its owner has to repair
        return text
    said: dict[str, Any] = found.data.to_dict()  # type: ignore[no-untyped-call]
    lists = {name: _added(said.get(name), wanted.get(name, ())) for name in ("tags", "base_model")}
    new = {k: v for k, v in {**wanted, **lists}.items() if k not in said or k in lists}
    new = {k: v for k, v in new.items() if v and v != said.get(k)}
    if not new:
        return text
    for name, value in new.items():
        found.data[name] = value
    return str(found)


def _front_matter(variants: Sequence[Variant]) -> dict[str, Any]:
    licences = _distinct(v.licence for v in variants)
    bases = _distinct(v.base for v in variants)
    kinds = [*(v.platform.value for v in variants), *(str(v.quant) for v in variants)]
    values = {
        "license": licences[0] if len(licences) == 1 else None,
        "library_name": "rkllm",
        "pipeline_tag": "text-generation",
        "base_model": bases[0] if len(bases) == 1 else bases,
        "base_model_relation": "quantized" if bases else None,
        "tags": ["rkllm", "rockchip", "npu", *_distinct(kinds)],
    }
    return {name: value for name, value in values.items() if value}


def _added(there: Any, wanted: Any) -> Any:
    """Return what a field says with what it lacks; one value stays one."""
    have = there if isinstance(there, list) else [there] if there else []
    new = [*have, *(w for w in ([wanted] if isinstance(wanted, str) else wanted) if w not in have)]
    return new[0] if len(new) == 1 and not isinstance(there, list) else new


def _distinct(values: Iterable[str | None]) -> list[str]:
    return list(dict.fromkeys(value for value in values if value))


_COLUMNS = (
    "File",
    "Platform",
    "Quantization",
    "Toolkit version",
    "Context",
    "NPU cores",
    "Size",
    "SHA-256",
)
_BLOCK = f"""{BEGIN}
## Files

%(models)s for the NPU of Rockchip boards.
Each file runs on its own SoC only, with a runtime (`librkllmrt`) that accepts its toolkit version.

%(table)s

%(toolkit)sGet the one that your board runs, verified, with rkfetch:

```sh
%(commands)s
```

## How they were made

Converted with Rockchip's [rkllm-toolkit](https://github.com/airockchip/rknn-llm) by rkfetch, and
verified by reading each file's header. [{PROVENANCE}]({PROVENANCE}) has the same for programs.

```text
%(made)s
```
%(attribution)s
{END}"""


def _block(repo: str, variants: Sequence[Variant]) -> str:
    toolkits = _distinct(str(v.toolkit) for v in variants)
    rows = [f"| {' | '.join(cells)} |" for cells in (_COLUMNS, *map(_cells, variants))]
    rows.insert(1, "|---" * len(_COLUMNS) + "|")
    return _BLOCK % {
        "models": " and ".join(_distinct(v.model for v in variants)),
        "table": "\n".join(rows),
        "toolkit": f"RKLLM Toolkit: {toolkits[0]}\n\n" if len(toolkits) == 1 else "",
        "commands": "\n".join(f"rkfetch hf:{repo}/{v.file}" for v in variants),
        "made": "\n".join(line for v in variants for line in _made(v)),
        "attribution": "".join(f"\n{line}\n" for line in _attribution(variants)),
    }


def _cells(variant: Variant) -> tuple[str, ...]:
    return (
        f"[{variant.file}]({variant.file})",
        variant.platform.value,
        str(variant.quant),
        str(variant.toolkit),
        str(variant.context or ""),
        str(variant.npu_cores or ""),
        _size(variant.size_bytes),
        f"`{variant.sha256}`",
    )


def _made(variant: Variant) -> list[str]:
    revision = f" at {variant.revision}" if variant.revision else ""
    said = {
        "base": f"{variant.base or variant.model}{revision}",
        "toolkit": str(variant.toolkit),
        **variant.parameters,
        **variant.environment,
        "made": variant.made,
    }
    return [variant.file, *(f"  {name}: {value}" for name, value in said.items() if value)]


def _attribution(variants: Sequence[Variant]) -> list[str]:
    bases = {v.base: v.licence for v in variants if v.base}
    lines = [
        f"The weights are those of [{base}](https://huggingface.co/{base}), whose authors and "
        + (f"licence ({licence}) " if licence else "terms ")
        + "apply to these files, too."
        for base, licence in bases.items()
    ]
    lines += _distinct(attribution(licence) for licence in bases.values())
    return lines


def _size(count: int) -> str:
    return f"{count / 1e9:.2f} GB" if count >= 10**9 else f"{max(1, count // 10**6)} MB"


def kept(variants: Iterable[Variant], there: Collection[str]) -> list[Variant]:
    """Return those whose file the repository still has."""
    return [v for v in variants if v.file in there]
