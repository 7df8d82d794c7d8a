"""What is publicly known about model families: names, sizes, makers.

Sources: the makers' own pages on huggingface.co (organisation, spelling, sizes). In ``words``
the value is the makers' spelling, None for a word that says nothing; ``<`` puts it before the
size. ``pattern`` is matched against lower-case text in which ``-``, ``_``, ``.`` and space all
separate.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping


@dataclass(frozen=True, slots=True, kw_only=True)
class Kind:
    """A line of models inside a family: Coder, VL, Embedding."""

    name: str
    sizes: frozenset[str] = frozenset()
    role: str = "llm"
    multimodal: bool = False
    implied: tuple[str, ...] = ()
    """Words that its only published form has."""
    implied_for: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    bare_is_base: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Family:
    """A family of models."""

    name: str
    pattern: re.Pattern[str]
    spelling: str
    organisation: str | None = None
    sizes: frozenset[str] = frozenset()
    """Published sizes, lower case."""
    words: Mapping[str, str | None] = field(default_factory=dict)
    """Words its names may have, in the makers' order."""
    kinds: Mapping[str, Kind] = field(default_factory=dict)
    named_sizes: Mapping[str, float] = field(default_factory=dict)
    """Words that mean a size, in billions of parameters."""
    only_size: float | None = None
    """Billions of parameters where names carry no size."""
    default_size: str | None = None
    """The size to write where a name leaves it out, because there is only one."""
    defaults: tuple[tuple[frozenset[str], str], ...] = ()
    """(words, default): where none of the words is there, the default goes without saying."""
    true_params: Mapping[str, float] = field(default_factory=dict)
    """Sizes whose name is not their number of parameters."""
    lower_case: bool = False
    decimal: str = "."
    bare_is_base: bool = False
    chat: str = "Instruct"
    """What the makers append for the chat model where the bare name is the base model."""
    role: str = "llm"
    multimodal: bool = False
    implied: tuple[str, ...] = ()
    implied_for: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    dropped: tuple[str, ...] = ()
    """Words that people add although the makers have no such model."""
    complete_name: bool = False
    """Names without a size are published as they are."""


_S = r"[-_. ]?"
_NEUTRAL: dict[str, str | None] = {"hf": None, "llm": None, "text": None, "lm": None, "bf16": None}
_LOWER: dict[str, str | None] = {
    "base": "base",
    "instruct": "instruct",
    "chat": "chat",
    "it": "it",
    "pt": "pt",
    **_NEUTRAL,
}


def _sizes(text: str) -> frozenset[str]:
    return frozenset(text.lower().split())


def _family(name: str, pattern: str, **more: Any) -> Family:
    """Make a family; in ``pattern`` a ``~`` stands for any separator or none."""
    more.setdefault("spelling", name)
    more["sizes"] = _sizes(more.get("sizes", ""))
    # After a name that ends in a digit, another digit would make another name.
    follows = r"(?=[-_. ]|$)" if pattern[-1].isdigit() else r"(?=[-_. ]|$|\d)"
    return Family(name=name, pattern=re.compile(pattern.replace("~", _S) + follows), **more)


def _qwen(name: str, pattern: str, sizes: str, kinds: dict[str, Kind], **more: Any) -> Family:
    words = {"base": "Base", "instruct": "Instruct", "chat": "Chat", "thinking": "Thinking"}
    return _family(
        name,
        pattern,
        organisation="Qwen",
        sizes=sizes,
        kinds=kinds,
        words={**words, "2507": "2507", "1m": "1M", **_NEUTRAL},
        **more,
    )


_INSTRUCTED = ("instruct",)


def _kind(name: str, sizes: str = "", **more: Any) -> Kind:
    return Kind(name=name, sizes=_sizes(sizes), **more)


_PHI_MINI = (frozenset({"mini", "medium", "small", "vision", "moe"}), "mini")
_PHI_4K = (frozenset({"4k", "8k", "128k"}), "4k")
_PHI_WORDS: dict[str, str | None] = {
    **{w: w for w in ("mini", "small", "medium", "4k", "8k", "128k", "vision", "multimodal")},
    **{w: w for w in ("reasoning", "plus", "instruct")},
    **_NEUTRAL,
}


def _vl(sizes: str) -> Kind:
    return _kind("VL", sizes, multimodal=True, implied=_INSTRUCTED)


FAMILIES: tuple[Family, ...] = (
    # DeepSeek's distillations come before the families that they are named after.
    _family(
        "DeepSeek-R1-Distill-Qwen",
        r"deepseek~r1(?:~distill)?~qwen(?:2~5)?",
        organisation="deepseek-ai",
        sizes="1.5B 7B 14B 32B",
        words=dict(_NEUTRAL),
    ),
    _family(
        "DeepSeek-R1-Distill-Llama",
        r"deepseek~r1(?:~distill)?~llama",
        organisation="deepseek-ai",
        sizes="8B 70B",
        words=dict(_NEUTRAL),
    ),
    _family(
        "DeepSeek-R1-0528-Qwen3",
        r"deepseek~r1~0528~qwen3",
        organisation="deepseek-ai",
        sizes="8B",
        words=dict(_NEUTRAL),
    ),
    # `deepseek-r1-1.5b`: the size tells which pupil it is.
    _family(
        "DeepSeek-R1-Distill-Qwen",
        r"deepseek~r1(?:~distill)?(?=[-_. :]*(?:1[._]5|7|14|32)b)",
        organisation="deepseek-ai",
        sizes="1.5B 7B 14B 32B",
        words=dict(_NEUTRAL),
    ),
    _family(
        "DeepSeek-R1-Distill-Llama",
        r"deepseek~r1(?:~distill)?(?=[-_. :]*(?:8|70)b)",
        organisation="deepseek-ai",
        sizes="8B 70B",
        words=dict(_NEUTRAL),
    ),
    _family(
        "DeepSeek-OCR",
        r"deepseek~ocr",
        organisation="deepseek-ai",
        only_size=3,
        multimodal=True,
        complete_name=True,
        words={"2": "2", **_NEUTRAL},
    ),
    _family(
        "deepseek-coder",
        r"deepseek~coder",
        organisation="deepseek-ai",
        sizes="1.3b 6.7b 7b 33b",
        lower_case=True,
        words={**_LOWER, "v1.5": "v1.5"},
    ),
    _family(
        "deepseek-llm",
        r"deepseek~llm",
        organisation="deepseek-ai",
        sizes="7b 67b",
        lower_case=True,
        words=_LOWER,
    ),
    _family(
        "deepseek-math",
        r"deepseek~math",
        organisation="deepseek-ai",
        sizes="7b",
        lower_case=True,
        words={**_LOWER, "rl": "rl"},
    ),
    _family(
        "DeepSeek-Prover",
        r"deepseek~prover",
        organisation="deepseek-ai",
        complete_name=True,
        words={"v1": "V1", "v1.5": "V1.5", "v2": "V2", "rl": "RL", "sft": "SFT", "base": "Base"},
    ),
    _family(
        "DeepSeek-V2-Lite",
        r"deepseek~v2~lite",
        organisation="deepseek-ai",
        only_size=15.7,
        complete_name=True,
        bare_is_base=True,
        words={"chat": "Chat", **_NEUTRAL},
    ),
    # Qwen. Bare names are the base model up to 2.5, and the chat model from 3 on.
    _qwen("Qwen3.5", r"qwen~3[-_. ]5", "0.8B 2B 4B 9B 27B", {}, dropped=("instruct", "chat")),
    _qwen(
        "Qwen3",
        r"qwen~3",
        "0.6B 1.7B 4B 8B 14B 32B 30B-A3B 235B-A22B",
        {
            "vl": _vl("2B 4B 8B 32B"),
            "embedding": _kind("Embedding", "0.6B 4B 8B", role="embedding"),
            "reranker": _kind("Reranker", "0.6B 4B 8B", role="reranker"),
            "asr": _kind("ASR", "0.6B 1.7B", role="speech", multimodal=True),
            "tts": _kind("TTS", role="speech", multimodal=True),
            "omni": _kind("Omni", multimodal=True, implied=_INSTRUCTED),
            "coder": _kind("Coder", "30B-A3B", implied=_INSTRUCTED),
        },
        dropped=("instruct", "chat"),
    ),
    _qwen(
        "Qwen2.5",
        r"qwen~2[-_. ]5",
        "0.5B 1.5B 3B 7B 14B 32B 72B",
        {
            "coder": _kind("Coder", "0.5B 1.5B 3B 7B 14B 32B", bare_is_base=True),
            "math": _kind("Math", "1.5B 7B 72B", bare_is_base=True),
            "vl": _vl("3B 7B 32B 72B"),
            "omni": _kind("Omni", "3B 7B", multimodal=True),
        },
        bare_is_base=True,
    ),
    _qwen(
        "Qwen2",
        r"qwen~2",
        "0.5B 1.5B 7B 72B",
        {
            "vl": _vl("2B 7B 72B"),
            "audio": _kind("Audio", "7B", multimodal=True),
            "math": _kind("Math", "1.5B 7B 72B", bare_is_base=True),
        },
        bare_is_base=True,
    ),
    _qwen(
        "Qwen1.5",
        r"qwen~1[-_. ]5",
        "0.5B 1.8B 4B 7B 14B 32B 72B",
        {},
        bare_is_base=True,
        chat="Chat",
    ),
    _family("QwQ", r"qwq", organisation="Qwen", sizes="32B", words={"preview": "Preview"}),
    _qwen("Qwen", r"qwen", "7B 14B 72B", {}, bare_is_base=True, chat="Chat"),
    # Meta
    *(
        _family(
            f"Llama-{version}",
            rf"(?:meta~)?llama~{version.replace('.', '[-_. ]')}",
            organisation="meta-llama",
            sizes=sizes,
            bare_is_base=True,
            multimodal=False,
            kinds={},
            words={"instruct": "Instruct", "vision": "<Vision", **_NEUTRAL},
        )
        for version, sizes in (
            ("3.3", "70B"),
            ("3.2", "1B 3B"),
            ("3.1", "8B 70B 405B"),
        )
    ),
    _family(
        "Llama-3",
        r"(?:meta~)?llama~3",
        spelling="Meta-Llama-3",
        organisation="meta-llama",
        sizes="8B 70B",
        bare_is_base=True,
        words={"instruct": "Instruct", **_NEUTRAL},
    ),
    _family(
        "Llama-2",
        r"(?:meta~)?llama~2",
        organisation="meta-llama",
        sizes="7b 13b 70b",
        lower_case=True,
        bare_is_base=True,
        chat="chat-hf",
        words={"chat": "chat", "hf": "hf", "llm": None},
        implied_for={},
    ),
    _family(
        "TinyLlama",
        r"tiny~llama",
        organisation="TinyLlama",
        sizes="1.1B",
        default_size="1.1B",
        only_size=1.1,
        bare_is_base=True,
        chat="Chat-v1.0",
        words={"chat": "Chat", "v1.0": "v1.0", "v0.6": "v0.6", **_NEUTRAL},
    ),
    # Google
    _family(
        "EmbeddingGemma",
        r"embedding~gemma",
        spelling="embeddinggemma",
        organisation="google",
        sizes="300m",
        lower_case=True,
        default_size="300m",
        only_size=0.3,
        role="embedding",
        words=dict(_NEUTRAL),
    ),
    _family(
        "codegemma",
        r"code~gemma",
        organisation="google",
        sizes="2b 7b",
        lower_case=True,
        bare_is_base=True,
        chat="it",
        words={**_LOWER, "1.1": "<1.1"},
    ),
    _family(
        "gemma-3n",
        r"gemma~3n",
        organisation="google",
        sizes="e2b e4b",
        lower_case=True,
        words=_LOWER,
        implied=("it",),
    ),
    *(
        _family(
            f"gemma-{version}",
            rf"gemma~{version}",
            organisation="google",
            sizes=sizes,
            lower_case=True,
            words=_LOWER,
            implied=implied,
            bare_is_base=not implied,
            chat="it",
        )
        for version, sizes, implied in (
            ("4", "e2b e4b 26b-a4b 31b", ("it",)),
            ("3", "270m 1b 4b 12b 27b", ("it",)),
            ("2", "2b 9b 27b", ()),
        )
    ),
    _family(
        "gemma",
        r"gemma",
        organisation="google",
        sizes="2b 7b",
        lower_case=True,
        bare_is_base=True,
        chat="it",
        words={**_LOWER, "1.1": "<1.1"},
    ),
    # Microsoft
    _family(
        "Phi-4-mini",
        r"phi~4~mini",
        organisation="microsoft",
        only_size=3.8,
        complete_name=True,
        words={"instruct": "instruct", "reasoning": "reasoning", "flash": "<flash", **_NEUTRAL},
        implied=_INSTRUCTED,
    ),
    *(
        _family(
            f"Phi-{version}",
            rf"phi~{version.replace('.', '[-_. ]')}",
            organisation="microsoft",
            named_sizes={"mini": 3.8, "medium": 14.0, "small": 7.4},
            only_size=only_size,
            complete_name=bool(implied),
            words=_PHI_WORDS,
            implied=implied,
            defaults=defaults,
        )
        for version, only_size, implied, defaults in (
            ("3.5", None, _INSTRUCTED, (_PHI_MINI,)),
            ("3", None, _INSTRUCTED, (_PHI_MINI, _PHI_4K)),
            ("4", 14.0, (), ()),
            ("2", 2.7, (), ()),
            ("1.5", 1.3, (), ()),
        )
    ),
    # OpenBMB
    *(
        _family(
            f"MiniCPM-{line}{version}",
            rf"mini~cpm~{line.rstrip('-').lower()}{pattern}",
            organisation="openbmb",
            multimodal=True,
            only_size=params,
            complete_name=True,
            words=dict(_NEUTRAL),
        )
        for line, version, pattern, params in (
            ("V-", "4_5", "~4[-_. ]5", 8.7),
            ("V-", "4", "~4", 4.1),
            ("V-", "2_6", "~2[-_. ]6", 8.0),
            ("V-", "2", "~2", 2.8),
            ("o-", "2_6", "~2[-_. ]6", 8.7),
        )
    ),
    _family(
        "MiniCPM4.1", r"mini~cpm~4[-_. ]1", organisation="openbmb", sizes="8B", words=dict(_NEUTRAL)
    ),
    _family(
        "MiniCPM4", r"mini~cpm~4", organisation="openbmb", sizes="0.5B 8B", words=dict(_NEUTRAL)
    ),
    _family("MiniCPM3", r"mini~cpm~3", organisation="openbmb", sizes="4B", words=dict(_NEUTRAL)),
    _family(
        "MiniCPM",
        r"mini~cpm",
        organisation="openbmb",
        sizes="1B 2B",
        words={"sft": "sft", "dpo": "dpo", "bf16": "bf16", "fp32": "fp32", "128k": "128k"},
    ),
    # Zhipu
    _family(
        "chatglm3", r"chat~glm~3", organisation="zai-org", sizes="6b", lower_case=True, words=_LOWER
    ),
    _family(
        "chatglm2", r"chat~glm~2", organisation="zai-org", sizes="6b", lower_case=True, words=_LOWER
    ),
    _family(
        "glm-4",
        r"glm~4",
        organisation="zai-org",
        sizes="9b",
        lower_case=True,
        bare_is_base=True,
        chat="chat",
        words={**_LOWER, "1m": "1m"},
    ),
    _family(
        "glm-edge",
        r"glm~edge",
        organisation="zai-org",
        sizes="1.5b 4b",
        lower_case=True,
        words=_LOWER,
    ),
    # Shanghai AI Lab
    _family(
        "InternVL3_5",
        r"intern~vl~3[-_. ]5",
        organisation="OpenGVLab",
        sizes="1B 2B 4B 8B 14B 38B",
        multimodal=True,
        words={"instruct": None, **_NEUTRAL},
    ),
    _family(
        "InternVL3",
        r"intern~vl~3",
        organisation="OpenGVLab",
        sizes="1B 2B 8B 9B 14B",
        multimodal=True,
        words={"instruct": "Instruct", **_NEUTRAL},
    ),
    _family(
        "InternVL2_5",
        r"intern~vl~2[-_. ]5",
        organisation="OpenGVLab",
        sizes="1B 2B 4B 8B 26B",
        multimodal=True,
        words={"mpo": "MPO", **_NEUTRAL},
    ),
    _family(
        "InternVL2",
        r"intern~vl~2",
        organisation="OpenGVLab",
        sizes="1B 2B 4B 8B 26B",
        multimodal=True,
        words=dict(_NEUTRAL),
    ),
    _family(
        "internlm3",
        r"intern~lm~3",
        organisation="internlm",
        sizes="8b",
        lower_case=True,
        words=_LOWER,
    ),
    _family(
        "internlm2_5",
        r"intern~lm~2[-_. ]5",
        organisation="internlm",
        sizes="1_8b 7b 20b",
        lower_case=True,
        decimal="_",
        bare_is_base=True,
        chat="chat",
        words={**_LOWER, "1m": "1m"},
    ),
    _family(
        "internlm2",
        r"intern~lm~2",
        organisation="internlm",
        sizes="1_8b 7b 20b",
        lower_case=True,
        decimal="_",
        bare_is_base=True,
        words={"chat": "<chat", "math": "<math", "base": "<base", "plus": "<plus", **_NEUTRAL},
    ),
    # Hugging Face
    _family(
        "SmolVLM2",
        r"smol~vlm~2",
        organisation="HuggingFaceTB",
        sizes="2.2b 500m 256m",
        multimodal=True,
        words={"video": "Video", "base": "Base", "instruct": "Instruct", **_NEUTRAL},
        implied=("instruct",),
        implied_for={"500m": ("video",), "256m": ("video",)},
    ),
    _family(
        "SmolVLM",
        r"smol~vlm",
        organisation="HuggingFaceTB",
        sizes="256m 500m",
        multimodal=True,
        complete_name=True,
        words={"base": "Base", "instruct": "Instruct", **_NEUTRAL},
        implied=("instruct",),
    ),
    _family(
        "SmolLM3", r"smol~lm~3", organisation="HuggingFaceTB", sizes="3B", words={"base": "Base"}
    ),
    *(
        _family(
            name,
            pattern,
            organisation="HuggingFaceTB",
            sizes="135m 360m 1.7b",
            bare_is_base=True,
            words={"instruct": "Instruct", **_NEUTRAL},
        )
        for name, pattern in (("SmolLM2", r"smol~lm~2"), ("SmolLM", r"smol~lm"))
    ),
    # Others
    _family(
        "FastVLM",
        r"fast~vlm",
        organisation="apple",
        sizes="0.5B 1.5B 7B",
        multimodal=True,
        words=dict(_NEUTRAL),
    ),
    _family(
        "Seed-Coder",
        r"seed~coder",
        organisation="ByteDance-Seed",
        words={"base": "Base", "instruct": "Instruct", "reasoning": "Reasoning", **_NEUTRAL},
    ),
    _family(
        "gte-Qwen2",
        r"gte~qwen2",
        organisation="Alibaba-NLP",
        sizes="1.5B 7B",
        role="embedding",
        words={"instruct": "instruct", **_NEUTRAL},
        implied=("instruct",),
    ),
    _family(
        "granite-3.3",
        r"granite~3[-_. ]3",
        organisation="ibm-granite",
        sizes="2b 8b",
        lower_case=True,
        words=_LOWER,
    ),
    _family(
        "Mistral",
        r"mistral",
        organisation="mistralai",
        bare_is_base=True,
        words={
            "instruct": "Instruct",
            "v0.1": "v0.1",
            "v0.2": "v0.2",
            "v0.3": "v0.3",
            **_NEUTRAL,
        },
    ),
    _family(
        "Yi-1.5",
        r"yi~1[-_. ]5",
        organisation="01-ai",
        sizes="6B 9B 34B",
        bare_is_base=True,
        words={"chat": "Chat", **_NEUTRAL},
    ),
    _family(
        "TeleChat2", r"tele~chat~2", organisation="Tele-AI", sizes="3B 7B", words=dict(_NEUTRAL)
    ),
    _family("RWKV7", r"rwkv~?7", words={**_NEUTRAL, "world": "World", "g1": "g1"}),
    _family(
        "Hunyuan",
        r"hunyuan",
        organisation="tencent",
        sizes="0.5B 1.8B 4B 7B",
        words={"instruct": "Instruct", "pretrain": "Pretrain", **_NEUTRAL},
    ),
    _family(
        "LFM2",
        r"lfm2",
        organisation="LiquidAI",
        sizes="350M 700M 1.2B 2.6B",
        kinds={"vl": _kind("VL", "450M 1.6B", multimodal=True)},
        words=dict(_NEUTRAL),
    ),
    _family(
        "ERNIE-4.5",
        r"ernie~4[-_. ]5",
        organisation="baidu",
        words={"pt": "PT", "base": "Base", **_NEUTRAL},
    ),
    _family(
        "EXAONE-4.0", r"exaone~4[-_. ]0", organisation="LGAI-EXAONE", sizes="1.2B 32B", words={}
    ),
    _family(
        "EXAONE-3.5",
        r"exaone~3[-_. ]5",
        organisation="LGAI-EXAONE",
        sizes="2.4B 7.8B 32B",
        words={"instruct": "Instruct"},
        implied=("instruct",),
    ),
    _family("NextCoder", r"next~coder", organisation="microsoft", sizes="7B 14B 32B", words={}),
    _family(
        "Marco-o1", r"marco~o1", organisation="AIDC-AI", only_size=7.6, complete_name=True, words={}
    ),
)
"""Longer names first where one begins another."""
