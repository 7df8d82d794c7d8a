"""What is publicly known about model families: names, sizes, makers.

Sources: the makers' own pages on huggingface.co (organisation, spelling, sizes). Where it is not
sure that a name is published exactly so, no sizes are given: a wrong id is worse than none.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping

Words = dict[str, "str | None"]


BASE_WORDS = frozenset({"base", "pt", "pretrain"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Kind:
    """A line of models inside a family: Coder, VL, Embedding."""

    name: str
    sizes: frozenset[str] = frozenset()
    role: str = "llm"
    multimodal: bool = False
    implied: tuple[str, ...] = ()
    """Words that its only published form has."""
    bare_is_base: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Family:
    """A family of models."""

    name: str
    pattern: str
    """What its names begin with, lower case; ``~`` stands for any separator or none."""
    spelling: str
    organisation: str | None = None
    sizes: frozenset[str] = frozenset()
    """Published sizes, lower case."""
    words: Mapping[str, str | None] = field(default_factory=dict)
    """Words its names may have, in the makers' order and spelling.

    None for a word that says nothing; ``<`` puts a word before the size.
    """
    kinds: Mapping[str, Kind] = field(default_factory=dict)
    """By the word in the name; two words are joined by ``-``."""
    only: Mapping[str, frozenset[str]] = field(default_factory=dict)
    """Words that only these of the sizes are published with."""
    needs: tuple[frozenset[str], ...] = ()
    """Published names have one word of each set."""
    named_sizes: Mapping[str, float] = field(default_factory=dict)
    """Words that mean a size, in billions of parameters."""
    only_size: float | None = None
    """Billions of parameters where names carry no size."""
    default_size: str | None = None
    """The size to write where a name leaves it out, because there is only one."""
    defaults: tuple[tuple[frozenset[str], str], ...] = ()
    """(words, default): where none of the words is there, the default goes without saying."""
    lower_case: bool = False
    decimal: str = "."
    base_words: frozenset[str] = BASE_WORDS
    """Words that only base models have."""
    bare_is_base: bool = False
    """A name without instruct, chat or it is the base model's."""
    chat: str = "Instruct"
    """What the makers append for the chat model where the bare name is the base model."""
    role: str = "llm"
    multimodal: bool = False
    implied: tuple[str, ...] = ()
    """Words of the chat model's name that people leave out."""
    size_words: Mapping[str, str] = field(default_factory=dict)
    """By size: a word that all of its names have."""
    dropped: tuple[str, ...] = ()
    """Words that people add although the makers have no such model."""
    complete_name: bool = False
    """Names without a size are published as they are."""


_NEUTRAL: Words = {"hf": None, "llm": None, "text": None, "lm": None, "bf16": None}
_LOWER: Words = {**{w: w for w in ("base", "instruct", "chat", "it", "pt")}, **_NEUTRAL}
_INSTRUCT: Words = {"base": "Base", "instruct": "Instruct", **_NEUTRAL}
_CHAT: Words = {"base": "Base", "chat": "Chat", **_NEUTRAL}
_INSTRUCTED = ("instruct",)


def _sizes(text: str) -> frozenset[str]:
    return frozenset(text.lower().split())


def _only(**sizes: str) -> dict[str, frozenset[str]]:
    return {word.strip("_"): _sizes(text) for word, text in sizes.items()}


def _family(
    name: str, pattern: str, organisation: str | None = None, sizes: str = "", **more: Any
) -> Family:
    more.setdefault("spelling", name)
    more.setdefault("words", _NEUTRAL)
    return Family(
        name=name, pattern=pattern, organisation=organisation, sizes=_sizes(sizes), **more
    )


def _base_first(name: str, pattern: str, organisation: str, sizes: str, **more: Any) -> Family:
    """Return a family whose bare names are the base models, with ``-Instruct`` beside them."""
    more.setdefault("words", _INSTRUCT)
    return _family(name, pattern, organisation, sizes, bare_is_base=True, **more)


def _instructed(name: str, pattern: str, organisation: str, sizes: str, **more: Any) -> Family:
    """Return a family that has ``-Instruct`` and ``-Base``, and no bare names."""
    more.setdefault("words", _INSTRUCT)
    return _family(name, pattern, organisation, sizes, implied=_INSTRUCTED, **more)


def _kind(name: str, sizes: str = "", **more: Any) -> Kind:
    return Kind(name=name, sizes=_sizes(sizes), **more)


def _vl(sizes: str) -> Kind:
    return _kind("VL", sizes, multimodal=True, implied=_INSTRUCTED)


def _qwen(name: str, pattern: str, sizes: str, **more: Any) -> Family:
    words = {"base": "Base", "instruct": "Instruct", "chat": "Chat", "thinking": "Thinking"}
    more.setdefault("words", {**words, "2507": "2507", "1m": "1M", **_NEUTRAL})
    return _family(name, pattern, "Qwen", sizes, **more)


def _gemma(name: str, pattern: str, sizes: str, **more: Any) -> Family:
    more.setdefault("words", _LOWER)
    return _family(name, pattern, "google", sizes, lower_case=True, chat="it", **more)


def _granite(version: str, sizes: str, **more: Any) -> Family:
    pattern = rf"granite~{version.replace('.', '~')}"
    more.setdefault("implied", _INSTRUCTED)
    more.setdefault("words", _LOWER)
    return _family(f"granite-{version}", pattern, "ibm-granite", sizes, lower_case=True, **more)


def _intern_vl(version: str, sizes: str, **words: str | None) -> Family:
    return _family(
        f"InternVL{version}",
        rf"intern~vl~{version.replace('_', '~')}",
        "OpenGVLab",
        sizes,
        multimodal=True,
        words={**words, **_NEUTRAL},
    )


def _minicpm(line: str, version: str, params: float) -> Family:
    return _family(
        f"MiniCPM-{line}-{version}",
        rf"mini~cpm~{line.lower()}~{version.replace('_', '~')}",
        "openbmb",
        multimodal=True,
        only_size=params,
        complete_name=True,
    )


_DEEPSEEK = "deepseek-ai"
_PUPILS = "1.5B 7B 14B 32B"
_PHI_MINI = (frozenset({"mini", "medium", "small", "vision", "moe"}), "mini")
_PHI_4K = (frozenset({"4k", "8k", "128k"}), "4k")
_PHI_SIZES = {"mini": 3.8, "medium": 14.0, "small": 7.4}
_PHI_WORDS: Words = {
    **{w: w for w in ("mini", "small", "medium", "vision")},
    "moe": "MoE",
    **{w: w for w in ("4k", "8k", "128k", "instruct")},
    **_NEUTRAL,
}
_GEMMA_1: Words = {**_LOWER, "1.1": "<1.1"}

FAMILIES: tuple[Family, ...] = (
    # DeepSeek's distillations come before the families that they are named after.
    _family("DeepSeek-R1-0528-Qwen3", r"deepseek~r1~0528~qwen~3", _DEEPSEEK, "8B"),
    _family(
        "DeepSeek-R1-Distill-Qwen", r"deepseek~r1(?:~distill)?~qwen(?:2~5)?", _DEEPSEEK, _PUPILS
    ),
    _family("DeepSeek-R1-Distill-Llama", r"deepseek~r1(?:~distill)?~llama", _DEEPSEEK, "8B 70B"),
    # `deepseek-r1-1.5b`: the size tells which pupil it is.
    _family(
        "DeepSeek-R1-Distill-Qwen",
        r"deepseek~r1(?:~distill)?(?=[-_. :]*(?:1[._]5|7|14|32)b)",
        _DEEPSEEK,
        _PUPILS,
    ),
    _family(
        "DeepSeek-R1-Distill-Llama",
        r"deepseek~r1(?:~distill)?(?=[-_. :]*(?:8|70)b)",
        _DEEPSEEK,
        "8B 70B",
    ),
    _family(
        "DeepSeek-OCR",
        r"deepseek~ocr",
        _DEEPSEEK,
        only_size=3,
        multimodal=True,
        complete_name=True,
        words={"2": "2", **_NEUTRAL},
    ),
    _instructed(
        "DeepSeek-Coder-V2-Lite",
        r"deepseek~coder~v2~lite",
        _DEEPSEEK,
        "",
        only_size=15.7,
        complete_name=True,
    ),
    _family(
        "deepseek-coder",
        r"deepseek~coder",
        _DEEPSEEK,
        "1.3b 6.7b 7b 33b",
        lower_case=True,
        implied=_INSTRUCTED,
        size_words={"7b": "v1.5"},
        words={"base": "base", "instruct": "instruct", "v1.5": "v1.5", **_NEUTRAL},
        only=_only(**{"v1.5": "7b"}),
    ),
    _family(
        "deepseek-llm",
        r"deepseek~llm",
        _DEEPSEEK,
        "7b 67b",
        lower_case=True,
        implied=("chat",),
        words={"base": "base", "chat": "chat", **_NEUTRAL},
    ),
    _family(
        "deepseek-math",
        r"deepseek~math",
        _DEEPSEEK,
        "7b",
        lower_case=True,
        words={"base": "base", "instruct": "instruct", "rl": "rl", **_NEUTRAL},
        needs=(frozenset({"base", "instruct", "rl"}),),
    ),
    _family(
        "DeepSeek-Prover",
        r"deepseek~prover",
        _DEEPSEEK,
        complete_name=True,
        words={"v1.5": "V1.5", "base": "Base", "sft": "SFT", "rl": "RL"},
        needs=(frozenset({"v1.5"}), frozenset({"base", "sft", "rl"})),
    ),
    _family(
        "DeepSeek-V2-Lite",
        r"deepseek~v2~lite",
        _DEEPSEEK,
        only_size=15.7,
        complete_name=True,
        bare_is_base=True,
        chat="Chat",
        words={"chat": "Chat", **_NEUTRAL},
    ),
    _family("Janus-Pro", r"janus~pro", _DEEPSEEK, "1B 7B", multimodal=True),
    _family("Janus", r"janus", _DEEPSEEK, "1.3B", multimodal=True),
    # Qwen. Bare names are the base model up to 2.5, and the chat model from 3 on.
    _qwen(
        "Qwen3.5",
        r"qwen~3~5",
        "0.8B 2B 4B 9B 27B",
        words={"instruct": None, "chat": None, "base": "Base", **_NEUTRAL},
        only=_only(base="0.8B 2B 4B 9B"),
    ),
    _qwen(
        "Qwen3",
        r"qwen~3",
        "0.6B 1.7B 4B 8B 14B 32B 30B-A3B 235B-A22B",
        kinds={
            "vl": _vl("2B 4B 8B 32B 30B-A3B 235B-A22B"),
            "embedding": _kind("Embedding", "0.6B 4B 8B", role="embedding"),
            "reranker": _kind("Reranker", "0.6B 4B 8B", role="reranker"),
            "vl-embedding": _kind("VL-Embedding", "2B 8B", role="embedding", multimodal=True),
            "vl-reranker": _kind("VL-Reranker", "2B 8B", role="reranker", multimodal=True),
            "asr": _kind("ASR", "0.6B 1.7B", role="speech", multimodal=True),
            "tts": _kind("TTS", role="speech", multimodal=True),
            "omni": _kind("Omni", "30B-A3B", multimodal=True, implied=_INSTRUCTED),
            "coder": _kind("Coder", "30B-A3B", implied=_INSTRUCTED),
        },
        only=_only(
            **{"2507": "4B 30B-A3B 235B-A22B"}, base="0.6B 1.7B 4B 8B 14B 30B-A3B", chat="", _1m=""
        ),
        dropped=("instruct", "chat"),
    ),
    _qwen(
        "Qwen2.5",
        r"qwen~2~5",
        "0.5B 1.5B 3B 7B 14B 32B 72B",
        kinds={
            "coder": _kind("Coder", "0.5B 1.5B 3B 7B 14B 32B", bare_is_base=True),
            "math": _kind("Math", "1.5B 7B 72B", bare_is_base=True),
            "vl": _vl("3B 7B 32B 72B"),
            "omni": _kind("Omni", "3B 7B", multimodal=True),
        },
        bare_is_base=True,
        words={"base": "Base", "instruct": "Instruct", "1m": "1M", **_NEUTRAL},
        only=_only(**{"1m": "7B 14B"}),
    ),
    _qwen(
        "Qwen2",
        r"qwen~2",
        "0.5B 1.5B 7B 72B 57B-A14B",
        kinds={
            "vl": _vl("2B 7B 72B"),
            "audio": _kind("Audio", "7B", multimodal=True, bare_is_base=True),
            "math": _kind("Math", "1.5B 7B 72B", bare_is_base=True),
        },
        bare_is_base=True,
        words=_INSTRUCT,
    ),
    _qwen(
        "Qwen1.5",
        r"qwen~1[-_. ]5",
        "0.5B 1.8B 4B 7B 14B 32B 72B 110B",
        bare_is_base=True,
        chat="Chat",
        words=_CHAT,
    ),
    _qwen(
        "CodeQwen1.5",
        r"code~qwen~1[-_. ]5",
        "7B",
        default_size="7B",
        only_size=7,
        bare_is_base=True,
        chat="Chat",
        words=_CHAT,
    ),
    _family("QwQ", r"qwq", "Qwen", "32B", words={"preview": "Preview"}),
    _qwen(
        "Qwen",
        r"qwen",
        "7B 14B 72B",
        bare_is_base=True,
        chat="Chat",
        words=_CHAT,
        kinds={"vl": _kind("VL", multimodal=True, bare_is_base=True)},
    ),
    # Meta
    _family(
        "Llama-Guard-3",
        r"llama~guard~3",
        "meta-llama",
        "1B 8B",
        role="classifier",
    ),
    _instructed("Llama-3.3", r"llama~3~3", "meta-llama", "70B"),
    _base_first(
        "Llama-3.2",
        r"llama~3~2",
        "meta-llama",
        "1B 3B",
        words={"base": "Base", "vision": "Vision", "instruct": "Instruct", **_NEUTRAL},
        only=_only(vision=""),
    ),
    _base_first("Llama-3.1", r"llama~3~1", "meta-llama", "8B 70B 405B"),
    _base_first("Llama-3", r"llama~3", "meta-llama", "8B 70B", spelling="Meta-Llama-3"),
    _family(
        "Llama-2",
        r"llama~2",
        "meta-llama",
        "7b 13b 70b",
        lower_case=True,
        bare_is_base=True,
        chat="chat-hf",
        words={"chat": "chat", "hf": "hf", "llm": None},
    ),
    _family(
        "CodeLlama",
        r"code~llama",
        "codellama",
        "7b 13b 34b 70b",
        lower_case=True,
        bare_is_base=True,
        chat="Instruct-hf",
        words={"python": "Python", "instruct": "Instruct", "hf": "hf"},
        needs=(frozenset({"hf"}),),
    ),
    _family(
        "TinyLlama",
        r"tiny~llama",
        "TinyLlama",
        "1.1B",
        default_size="1.1B",
        only_size=1.1,
        bare_is_base=True,
        chat="Chat-v1.0",
        words={"chat": "Chat", "v1.0": "v1.0", "v0.6": "v0.6", **_NEUTRAL},
        needs=(frozenset({"chat"}), frozenset({"v1.0", "v0.6"})),
    ),
    # Google
    _gemma(
        "EmbeddingGemma",
        r"embedding~gemma",
        "300m",
        spelling="embeddinggemma",
        default_size="300m",
        only_size=0.3,
        role="embedding",
        words=_NEUTRAL,
    ),
    _gemma(
        "codegemma",
        r"code~gemma",
        "2b 7b",
        bare_is_base=True,
        words=_GEMMA_1,
        only=_only(it="7b"),
    ),
    _gemma(
        "paligemma2",
        r"pali~gemma~2",
        "3b 10b 28b",
        multimodal=True,
        words={**{w: w for w in ("mix", "pt", "224", "448", "896")}, **_NEUTRAL},
        needs=(frozenset({"pt", "mix"}), frozenset({"224", "448"})),
    ),
    _gemma("medgemma", r"med~gemma", "4b", multimodal=True, implied=("it",)),
    _gemma(
        "gemma-3n", r"gemma~3n", "e2b e4b", implied=("it",), only=_only(pt="", instruct="", chat="")
    ),
    _gemma("gemma-4", r"gemma~4", "e2b e4b", implied=("it",), only=_only(pt="")),
    _gemma(
        "gemma-3",
        r"gemma~3",
        "270m 1b 4b 12b 27b",
        implied=("it",),
        only=_only(pt="1b 4b 12b 27b"),
    ),
    _gemma(
        "gemma-2",
        r"gemma~2",
        "2b 9b 27b",
        bare_is_base=True,
        words={"jpn": "jpn", **_LOWER},
        only=_only(jpn="2b"),
    ),
    _gemma("gemma", r"gemma", "2b 7b", bare_is_base=True, words=_GEMMA_1),
    # Microsoft
    _family(
        "Phi-4-mini-flash",
        r"phi~4~mini~flash",
        "microsoft",
        only_size=3.8,
        complete_name=True,
        implied=("reasoning",),
        words={"reasoning": "reasoning"},
    ),
    _family(
        "Phi-4-mini",
        r"phi~4~mini",
        "microsoft",
        only_size=3.8,
        complete_name=True,
        words={"instruct": "instruct", "reasoning": "reasoning", **_NEUTRAL},
        implied=_INSTRUCTED,
    ),
    _family(
        "Phi-4-multimodal",
        r"phi~4~multimodal",
        "microsoft",
        only_size=5.6,
        multimodal=True,
        complete_name=True,
        implied=_INSTRUCTED,
        words={"instruct": "instruct", **_NEUTRAL},
    ),
    _family(
        "Phi-4",
        r"phi~4",
        "microsoft",
        only_size=14,
        spelling="phi-4",
        complete_name=True,
        words={"reasoning": "reasoning", "plus": "plus", **_NEUTRAL},
    ),
    _family(
        "Phi-3.5",
        r"phi~3~5",
        "microsoft",
        named_sizes=_PHI_SIZES,
        words=_PHI_WORDS,
        complete_name=True,
        implied=_INSTRUCTED,
        defaults=(_PHI_MINI,),
        only=_only(**{"4k": "", "8k": "", "128k": "", "small": "", "medium": ""}),
    ),
    _family(
        "Phi-3",
        r"phi~3",
        "microsoft",
        named_sizes=_PHI_SIZES,
        words=_PHI_WORDS,
        complete_name=True,
        implied=_INSTRUCTED,
        defaults=(_PHI_MINI, _PHI_4K),
        only=_only(vision="", small="", moe=""),
    ),
    _family("phi-2", r"phi~2", "microsoft", only_size=2.7, complete_name=True),
    _family("phi-1_5", r"phi~1[-_. ]5", "microsoft", only_size=1.3, complete_name=True),
    _family(
        "bitnet-b1.58",
        r"bitnet~(?:b~)?1[._]58",
        "microsoft",
        "2B",
        words={"4t": "4T", **_NEUTRAL},
        defaults=((frozenset({"4t"}), "4t"),),
    ),
    _family("NextCoder", r"next~coder", "microsoft", "7B 14B 32B"),
    # OpenBMB
    *(
        _minicpm(line, version, params)
        for line, version, params in (
            ("V", "4_5", 8.7),
            ("V", "4", 4.1),
            ("V", "2_6", 8.0),
            ("V", "2", 2.8),
            ("o", "2_6", 8.7),
        )
    ),
    _family("MiniCPM4.1", r"mini~cpm~4~1", "openbmb", "8B"),
    _family("MiniCPM4", r"mini~cpm~4", "openbmb", "0.5B 8B"),
    _family("MiniCPM3", r"mini~cpm~3", "openbmb", "4B"),
    _family(
        "MiniCPM",
        r"mini~cpm",
        "openbmb",
        "1B 2B",
        words={"sft": "sft", "dpo": "dpo", "bf16": "bf16", "fp32": "fp32", "128k": "128k"},
        needs=(frozenset({"bf16", "fp32", "128k"}),),
    ),
    # Zhipu
    _family("chatglm3", r"chat~glm~3", "zai-org", "6b", lower_case=True, words={"base": "base"}),
    _family("chatglm2", r"chat~glm~2", "zai-org", "6b", lower_case=True),
    _family(
        "GLM-4.1V",
        r"glm~4~1v",
        "zai-org",
        "9B",
        multimodal=True,
        implied=("thinking",),
        words={"base": "Base", "thinking": "Thinking", **_NEUTRAL},
    ),
    _family(
        "GLM-Z1",
        r"glm~z1",
        "zai-org",
        "9B 32B",
        words={"0414": "0414"},
        needs=(frozenset({"0414"}),),
    ),
    _family("GLM-4", r"glm~4(?=~(?:9|32)b~0414)", "zai-org", "9B 32B", words={"0414": "0414"}),
    _family(
        "glm-4",
        r"glm~4",
        "zai-org",
        "9b",
        lower_case=True,
        bare_is_base=True,
        chat="chat",
        words={"chat": "chat", "1m": "1m", **_NEUTRAL},
    ),
    _family(
        "glm-edge",
        r"glm~edge",
        "zai-org",
        "1.5b 4b",
        lower_case=True,
        implied=("chat",),
        words={"chat": "chat", **_NEUTRAL},
    ),
    # Shanghai AI Lab
    _intern_vl("3_5", "1B 2B 4B 8B 14B 38B", instruct=None),
    _intern_vl("3", "1B 2B 8B 9B 14B 38B 78B", instruct="Instruct"),
    _intern_vl("2_5", "1B 2B 4B 8B 26B 38B 78B", mpo="MPO"),
    _intern_vl("2", "1B 2B 4B 8B 26B 40B"),
    _family(
        "internlm3",
        r"intern~lm~3",
        "internlm",
        "8b",
        lower_case=True,
        implied=_INSTRUCTED,
        words={"instruct": "instruct", **_NEUTRAL},
    ),
    _family(
        "internlm2_5",
        r"intern~lm~2~5",
        "internlm",
        "1_8b 7b 20b",
        lower_case=True,
        decimal="_",
        bare_is_base=True,
        chat="chat",
        words={"chat": "chat", "1m": "1m", **_NEUTRAL},
        only=_only(**{"1m": "7b"}),
    ),
    _family(
        "internlm2",
        r"intern~lm~2",
        "internlm",
        "1_8b 7b 20b",
        lower_case=True,
        decimal="_",
        bare_is_base=True,
        chat="chat",
        words={"chat": "<chat", **_NEUTRAL},
    ),
    # Hugging Face
    _family(
        "SmolVLM2",
        r"smol~vlm~2",
        "HuggingFaceTB",
        "2.2b 500m 256m",
        multimodal=True,
        words={"video": "Video", "base": "Base", "instruct": "Instruct", **_NEUTRAL},
        implied=_INSTRUCTED,
        size_words={"500m": "video", "256m": "video"},
        only=_only(video="500m 256m", base="2.2b"),
    ),
    _instructed(
        "SmolVLM", r"smol~vlm", "HuggingFaceTB", "256m 500m", multimodal=True, complete_name=True
    ),
    _family("SmolLM3", r"smol~lm~3", "HuggingFaceTB", "3B", words={"base": "Base", **_NEUTRAL}),
    _base_first("SmolLM2", r"smol~lm~2", "HuggingFaceTB", "135m 360m 1.7b"),
    _base_first("SmolLM", r"smol~lm", "HuggingFaceTB", "135m 360m 1.7b"),
    # IBM
    _granite("4.0", "350m 1b", implied=(), words={"h": "<h", "base": "base", **_NEUTRAL}),
    _granite("3.3", "2b 8b"),
    _granite("3.2", "2b 8b", only=_only(base="")),
    _granite("3.1", "2b 8b"),
    _granite("3.0", "2b 8b"),
    # Mistral AI
    _family(
        "Ministral-3",
        r"ministral~3(?=~\d+b)",
        "mistralai",
        "3B 8B 14B",
        implied=_INSTRUCTED,
        defaults=((frozenset({"2512"}), "2512"),),
        words={
            "base": "Base",
            "instruct": "Instruct",
            "reasoning": "Reasoning",
            "2512": "2512",
            **_NEUTRAL,
        },
    ),
    _family(
        "Ministral",
        r"ministral",
        "mistralai",
        "8B",
        implied=_INSTRUCTED,
        defaults=((frozenset({"2410"}), "2410"),),
        words={"instruct": "Instruct", "2410": "2410", **_NEUTRAL},
    ),
    _family(
        "Mistral",
        r"mistral",
        "mistralai",
        "7B",
        bare_is_base=True,
        chat="Instruct-v0.3",
        words={**_INSTRUCT, "v0.1": "v0.1", "v0.2": "v0.2", "v0.3": "v0.3"},
        needs=(frozenset({"instruct"}), frozenset({"v0.1", "v0.2", "v0.3"})),
    ),
    # Others
    _instructed("Falcon3", r"falcon~3", "tiiuae", "1B 3B 7B 10B"),
    _instructed(
        "Falcon-H1",
        r"falcon~h1",
        "tiiuae",
        "0.5B 1.5B 3B 7B 34B",
        words={"deep": "Deep", **_INSTRUCT},
        only=_only(deep="1.5B"),
    ),
    _family("FastVLM", r"fast~vlm", "apple", "0.5B 1.5B 7B", multimodal=True),
    _family(
        "Seed-Coder",
        r"seed~coder",
        "ByteDance-Seed",
        "8B",
        words={**_INSTRUCT, "reasoning": "Reasoning"},
        needs=(frozenset({"base", "instruct", "reasoning"}),),
    ),
    _family(
        "gte-Qwen2",
        r"gte~qwen~2",
        "Alibaba-NLP",
        "1.5B 7B",
        role="embedding",
        words={"instruct": "instruct", **_NEUTRAL},
        implied=_INSTRUCTED,
    ),
    _family(
        "bge-reranker-v2-m3",
        r"bge~reranker~v2~m3",
        "BAAI",
        complete_name=True,
        only_size=0.57,
        role="reranker",
    ),
    _family("bge-m3", r"bge~m3", "BAAI", complete_name=True, only_size=0.57, role="embedding"),
    _base_first("Yi-Coder", r"yi~coder", "01-ai", "1.5B 9B", chat="Chat", words=_CHAT),
    _base_first("Yi-1.5", r"yi~1[-_. ]5", "01-ai", "6B 9B 34B", chat="Chat", words=_CHAT),
    _base_first(
        "Yi", r"yi", "01-ai", "6B 9B 34B", chat="Chat", words=_CHAT, only=_only(chat="6B 34B")
    ),
    _family("TeleChat2", r"tele~chat~2", "Tele-AI", "3B 7B"),
    _family("RWKV7", r"rwkv~7", words={"world": "<World", "g1": "<G1", **_NEUTRAL}),
    _instructed(
        "Hunyuan",
        r"hunyuan",
        "tencent",
        "0.5B 1.8B 4B 7B",
        words={"instruct": "Instruct", "pretrain": "Pretrain", **_NEUTRAL},
    ),
    _family("Youtu-LLM", r"youtu~llm", "tencent", "2B", words={"base": "Base", **_NEUTRAL}),
    _instructed(
        "LFM2.5",
        r"lfm~2~5",
        "LiquidAI",
        "1.2B",
        words={**_INSTRUCT, "thinking": "Thinking", "jp": "JP"},
        kinds={"vl": _kind("VL", "1.6B", multimodal=True)},
    ),
    _family(
        "LFM2",
        r"lfm~2",
        "LiquidAI",
        "350M 700M 1.2B 2.6B 8B-A1B",
        kinds={"vl": _kind("VL", "450M 1.6B 3B", multimodal=True)},
    ),
    _family(
        "ERNIE-4.5",
        r"ernie~4~5",
        "baidu",
        "0.3B 21B-A3B",
        words={"base": "Base", "pt": "PT", **_NEUTRAL},
        base_words=frozenset({"base"}),  # PT is PyTorch here
        needs=(frozenset({"pt"}),),
    ),
    _family("EXAONE-4.0", r"exaone~4[-_. ]0", "LGAI-EXAONE", "1.2B 32B"),
    _instructed(
        "EXAONE-3.5",
        r"exaone~3~5",
        "LGAI-EXAONE",
        "2.4B 7.8B 32B",
        words={"instruct": "Instruct", **_NEUTRAL},
    ),
    _family("EXAONE-Deep", r"exaone~deep", "LGAI-EXAONE", "2.4B 7.8B 32B"),
    _family("Marco-o1", r"marco~o1", "AIDC-AI", only_size=7.6, complete_name=True),
    _base_first("OLMo-2", r"olmo~2(?:~0425)?(?=~1b)", "allenai", "1B", spelling="OLMo-2-0425"),
    _base_first(
        "OLMo-2", r"olmo~2(?:~1124)?(?=~(?:7|13)b)", "allenai", "7B 13B", spelling="OLMo-2-1124"
    ),
    _family(
        "stablelm-2",
        r"stable~lm~2",
        "stabilityai",
        "1_6b 12b",
        lower_case=True,
        decimal="_",
        bare_is_base=True,
        chat="chat",
        words={"chat": "chat", **_NEUTRAL},
    ),
    _family("starcoder2", r"star~coder~2", "bigcode", "3b 7b 15b", lower_case=True),
    _family("Hermes-3-Llama-3.2", r"hermes~3~llama~3~2", "NousResearch", "3B"),
    _family("Hermes-3-Llama-3.1", r"hermes~3~llama~3~1", "NousResearch", "8B 70B 405B"),
    _family("Nanbeige4.1", r"nanbeige~4~1", "Nanbeige", "3B"),
    _family(
        "xLAM",
        r"xlam",
        "Salesforce",
        "1b 7b",
        lower_case=True,
        words={"fc": "fc", "r": "r"},
        defaults=((frozenset({"fc"}), "fc"), (frozenset({"r"}), "r")),
    ),
    _family(
        "Kimi-VL-A3B",
        r"kimi~vl(?:~a3b)?",
        "moonshotai",
        only_size=16,
        multimodal=True,
        complete_name=True,
        implied=_INSTRUCTED,
        words={"instruct": "Instruct", "thinking": "Thinking", "2506": "2506", **_NEUTRAL},
    ),
    _family(
        "Baichuan2",
        r"baichuan~2",
        "baichuan-inc",
        "7B 13B",
        implied=("chat",),
        words=_CHAT,
    ),
    _family(
        "Megrez-3B",
        r"megrez~3b",
        "Infinigence",
        only_size=2.9,
        complete_name=True,
        implied=_INSTRUCTED,
        words={"instruct": "Instruct", **_NEUTRAL},
        kinds={"omni": _kind("Omni", multimodal=True)},
    ),
    _base_first(
        "Index",
        r"index(?=~1[._]9b)",
        "IndexTeam",
        "1.9B",
        chat="Chat",
        words={"chat": "Chat", **_NEUTRAL},
    ),
    _family("BlueLM", r"blue~lm", "vivo-ai", "7B", implied=("chat",), words=_CHAT),
    _family(
        "llm-jp-3",
        r"llm~jp~3",
        "llm-jp",
        "150m 440m 980m 1.8b 3.7b 13b",
        lower_case=True,
        bare_is_base=True,
        chat="instruct",
        words={"instruct": "instruct"},
    ),
    _family(
        "MiMo",
        r"mimo",
        "XiaomiMiMo",
        "7B",
        words={"base": "Base", "sft": "SFT", "rl": "RL", **_NEUTRAL},
        needs=(frozenset({"base", "sft", "rl"}),),
    ),
)
"""Longer names first where one begins another."""
