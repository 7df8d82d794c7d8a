"""Put together what is known of a base model, and refuse one that cannot be converted.

The same for the Hub and for a folder of this machine, which differ in how a file is read.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from rkfetch.registry.errors import ConversionUnavailableError, IntegrityError, UsageError

from .base_config import (
    ADAPTER,
    CONFIG,
    LARGEST_JSON,
    QUANTIZE,
    WITH_CODE,
    code_of,
    described,
    number,
    parameters_by_size,
    parameters_of,
    read_json,
    shown,
)
from .base_files import TOKENIZERS, index_of, instead, weights_of

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Mapping

    from .base import BaseModel, Code
    from .base_config import Config
    from .base_files import Weights


def put_together(
    base: BaseModel,
    sizes: Mapping[str, int],
    read: Callable[[str], bytes],
    counted: Callable[[Weights], Mapping[str, int]],
) -> tuple[BaseModel, Weights]:
    """Return a model with all that its small files say, and which files its weights are.

    ``sizes`` are all of its files, ``read`` brings the content of one, and ``counted`` how many
    numbers of each type the weights have, where that is known.

    Raises:
        UsageError: it is no model in Hugging Face's layout, or an adapter of one.
        ConversionUnavailableError: its weights are in no form that the toolkit reads.
        IntegrityError: files are missing without which it cannot be loaded.
        As ``read`` and ``counted`` besides.
    """
    what = base.hub_id or str(base.path)

    def config_of(name: str) -> Config:
        return read_json(read(name)) if 0 < sizes.get(name, 0) <= LARGEST_JSON else {}

    _require_model(what, sizes.keys(), config_of)
    configs = {name: config_of(name) for name in (*WITH_CODE, QUANTIZE) if name in sizes}
    index = config_of(index_of(sizes) or "")
    weights = weights_of(sizes, index)
    code = code_of(configs, sizes.keys(), weights.pickles)
    _require_files(what, sizes.keys(), weights, code)
    base = described(base, configs)
    weights_bytes = sum(sizes[name] for name in weights.files)
    return (
        replace(
            base,
            weights_bytes=weights_bytes,
            parameters=number(parameters_of(counted(weights), base.bits))
            or _told_by(index)
            or parameters_by_size(weights_bytes, configs[CONFIG], base.bits),
            code=code,
        ),
        weights,
    )


def _told_by(index: Config) -> int | None:
    metadata = index.get("metadata")
    return number(metadata.get("total_parameters")) if isinstance(metadata, dict) else None


def _require_model(what: str, names: Collection[str], config_of: Callable[[str], Config]) -> None:
    if CONFIG in names:
        return
    there = instead(names)
    if ADAPTER in names:
        trained_for = config_of(ADAPTER).get("base_model_name_or_path")
        said = shown(trained_for) if isinstance(trained_for, str) else None
        raise UsageError(
            f"{what} is a LoRA adapter, not a model",
            cause=[f"it was trained for {said}"] if said else [],
            hint="merge it into the model that it was trained for (merge_and_unload() of PEFT), "
            "and convert the folder that this gives",
        )
    if there is not None:
        raise _unreadable_weights(what, there)
    raise UsageError(
        f"{what} holds no model in Hugging Face's layout",
        cause=[f"it has no {CONFIG}"],
        hint="it needs config.json, a tokenizer, and weights as model*.safetensors",
    )


def _unreadable_weights(what: str, there: str | None) -> ConversionUnavailableError:
    return ConversionUnavailableError(
        f"{what} has no weights that can be converted",
        cause=[f"it has {there}" if there else "it has none at all"],
        hint="name the original model with model*.safetensors; of GGUF, one file of this machine "
        "in F16 or Q4_0",
    )


def _require_files(what: str, names: Collection[str], weights: Weights, code: Code) -> None:
    if weights.missing:
        missing = weights.missing
        rest = f" and {len(missing) - 3} more" if len(missing) > 3 else ""
        raise IntegrityError(
            f"{what} lacks {len(missing)} of the {len(missing) + len(weights.files)} parts of "
            "its weights",
            cause=[f"{weights.index} names {', '.join(missing[:3])}{rest}"],
            hint="download it completely",
        )
    if not weights.files:
        raise _unreadable_weights(what, instead(names))
    if not any(name in names for name in TOKENIZERS) and not code:
        raise IntegrityError(
            f"{what} has no tokenizer",
            cause=["none of " + ", ".join(TOKENIZERS[:5]) + " is there"],
            hint="add the tokenizer files of the model that it was made from",
        )
