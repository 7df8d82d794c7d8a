"""What people type means one model, and never one beside it."""

from __future__ import annotations

import re
import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rkfetch.catalog.families import read_model, squeeze
from rkfetch.catalog.family_data import FAMILIES
from rkfetch.catalog.models import (
    FileReference,
    Reference,
    hub_id,
    known_model,
    match,
    parse_reference,
    suggest,
)
from rkfetch.registry.errors import UsageError
from rkfetch.registry.model import Quant

CHAT_MODELS = {
    "qwen2.5-0.5b": "Qwen2.5-0.5B-Instruct",
    "qwen2.5-1.5b": "Qwen2.5-1.5B-Instruct",
    "qwen2.5-3b": "Qwen2.5-3B-Instruct",
    "qwen2-0.5b": "Qwen2-0.5B-Instruct",
    "qwen1.5-1.8b": "Qwen1.5-1.8B-Chat",
    "qwen3-0.6b": "Qwen3-0.6B",
    "qwen3-4b": "Qwen3-4B",
    "qwen3.5-2b": "Qwen3.5-2B",
    "qwen3-vl-2b": "Qwen3-VL-2B-Instruct",
    "qwen2.5-coder-1.5b": "Qwen2.5-Coder-1.5B-Instruct",
    "llama-3.2-1b": "Llama-3.2-1B-Instruct",
    "llama-3.1-8b": "Llama-3.1-8B-Instruct",
    "llama-2-7b": "Llama-2-7b-chat-hf",
    "gemma-3-4b": "gemma-3-4b-it",
    "gemma-2-2b": "gemma-2-2b-it",
    "gemma-4-e2b": "gemma-4-E2B-it",
    "phi-3-mini": "Phi-3-mini-4k-instruct",
    "phi-3.5-mini": "Phi-3.5-mini-instruct",
    "phi-4-mini": "Phi-4-mini-instruct",
    "internlm2-1.8b": "internlm2-chat-1_8b",
    "internlm2.5-1.8b": "internlm2_5-1_8b-chat",
    "internvl3.5-1b": "InternVL3_5-1B",
    "smollm2-1.7b": "SmolLM2-1.7B-Instruct",
    "smolvlm2-500m": "SmolVLM2-500M-Video-Instruct",
    "tinyllama-1.1b": "TinyLlama-1.1B-Chat-v1.0",
    "minicpm3-4b": "MiniCPM3-4B",
    "deepseek-r1-1.5b": "DeepSeek-R1-Distill-Qwen-1.5B",
    "deepseek-coder-1.3b": "deepseek-coder-1.3b-instruct",
    "mistral-7b-v0.3": "Mistral-7B-Instruct-v0.3",
    "granite-3.3-2b": "granite-3.3-2b-instruct",
    "ministral-8b": "Ministral-8B-Instruct-2410",
    "olmo-2-1b": "OLMo-2-0425-1B-Instruct",
    "ernie-4.5-0.3b": "ERNIE-4.5-0.3B-PT",
    "falcon3-1b": "Falcon3-1B-Instruct",
}
OTHERS = [
    *("Qwen2.5-1.5B", "Qwen2.5-Coder-1.5B", "Qwen2.5-Math-1.5B-Instruct", "Qwen2.5-VL-3B-Instruct"),
    *("Qwen2.5-3B-abliterated", "Qwen2.5-1.5B-Instruct-medical", "Qwen2.5-7B-Instruct-1M"),
    *("Qwen3-0.6B-Base", "Qwen3-Embedding-0.6B", "Qwen3-Reranker-0.6B", "Qwen3-VL-4B-Instruct"),
    *(
        "Qwen3-4B-Instruct-2507",
        "Qwen3-4B-Thinking-2507",
        "Qwen3-ASR-0.6B",
        "Qwen3-VL-Embedding-2B",
    ),
    *("Qwen3Guard-Gen-0.6B", "Huihui-Qwen3-4B-abliterated-v2", "gte-Qwen2-1.5B-instruct"),
    *("Llama-3.2-1B", "Llama-3.2-1B-Instruct-uncensored", "Llama-Guard-3-1B", "gemma-2-2b"),
    *(
        "gemma-3-4b-pt",
        "codegemma-2b",
        "embeddinggemma-300m",
        "medgemma-4b-it",
        "gemma-2-2b-jpn-it",
    ),
    *("SystemGemma2-2b-it", "Phi-4-mini-reasoning", "Phi-3-mini-128k-instruct", "internlm2-1_8b"),
    *("deepseek-coder-1.3b-base", "ERNIE-4.5-0.3B-Base-PT", "OLMo-2-0425-1B", "Vi-Qwen2-3B-RAG"),
    *("MiniCPM3-4B-RAG-LoRA", "granite-3.3-2b-base", "SmolLM2-1.7B", "Falcon3-1B-Base"),
]
CATALOG = sorted([*CHAT_MODELS.values(), *OTHERS])


@pytest.mark.parametrize(("reference", "model"), CHAT_MODELS.items())
def test_a_bare_name_means_the_chat_model(reference: str, model: str) -> None:
    assert match(reference, CATALOG) == (model,)


@given(
    st.sampled_from(sorted(CHAT_MODELS)),
    st.sampled_from(["-", "_", " ", ":"]),
    st.sampled_from([str.lower, str.upper, str.title]),
    st.sampled_from(["", "-instruct", "-it", "-chat"]),
    st.permutations(CATALOG),
)
def test_a_plain_reference_never_means_another_kind(
    reference: str, separator: str, case: type[str], ending: str, catalog: list[str]
) -> None:
    """However it is written: no Coder, Math, VL, embedding, base model or fine-tune."""
    head, _, size = reference.rpartition("-")
    found = match(case(f"{head}{separator}{size}{ending}"), catalog)
    assert set(found) <= {CHAT_MODELS[reference]}
    if not ending:
        assert found == (CHAT_MODELS[reference],)


def _published_names() -> list[str]:
    """Every family, kind and size that is known, as base model and as chat model."""
    names = set()
    for family in FAMILIES:
        kinds = {"": family.sizes, **{f"{k.name}-": k.sizes for k in family.kinds.values()}}
        for kind, sizes in kinds.items():
            for size in sizes:
                found = read_model(f"{family.name}-{kind}{size}")
                names |= {found.name, found.chat_name or found.name} if found is not None else set()
    return sorted(names)


PUBLISHED = _published_names()


@st.composite
def spellings(draw: st.DrawFn, names: list[str]) -> tuple[str, str]:
    """A name, and the same with other dots, hyphens, underscores and case, or without them."""
    name = draw(st.sampled_from(names))
    spelt = "".join(draw(st.sampled_from(["", *"-_."])) if c in "-_." else c for c in name)
    return name, draw(st.sampled_from([spelt, spelt.lower(), spelt.upper(), spelt.title()]))


@settings(max_examples=300)
@given(spellings([*CHAT_MODELS, *CATALOG]))
def test_separators_and_case_mean_nothing(names: tuple[str, str]) -> None:
    """`qwen25-15b` is `qwen2.5-1.5b`: the chat model, although it reads like the base model's."""
    usual, odd = names
    assert match(odd, CATALOG) == match(usual, CATALOG)
    assert known_model(odd) == known_model(usual)


@settings(max_examples=300)
@given(spellings(PUBLISHED))
def test_separators_and_case_mean_nothing_where_no_build_is_known(names: tuple[str, str]) -> None:
    usual, odd = names
    assert known_model(odd) == known_model(usual)
    assert match(odd, PUBLISHED) == match(usual, PUBLISHED)


@pytest.mark.parametrize(
    ("reference", "model"),
    [
        *(("qwen25-15b", "Qwen2.5-1.5B-Instruct"), ("qwen2515b", "Qwen2.5-1.5B-Instruct")),
        *(("qwen25-15b-base", "Qwen2.5-1.5B"), ("Qwen2-5_15B.Base", "Qwen2.5-1.5B")),
        *(("tinyllama-11b", "TinyLlama-1.1B-Chat-v1.0"), ("llama-321b", "Llama-3.2-1B-Instruct")),
        *(("qwen3-4b-通用", None), ("qwen2.5-15b-abliterated", None), ("qwen25", None)),
    ],
)
def test_a_closed_up_name(reference: str, model: str | None) -> None:
    assert match(reference, CATALOG) == ((model,) if model else ())
    without_the_base_model = [n for n in CATALOG if n != "Qwen2.5-1.5B"]
    assert set(match(reference, without_the_base_model)) <= {model} - {"Qwen2.5-1.5B"}


def test_a_family_has_no_two_sizes_that_differ_in_a_dot_alone() -> None:
    for family in FAMILIES:
        sizes = family.sizes.union(*(kind.sizes for kind in family.kinds.values()))
        assert len({squeeze(size) for size in sizes}) == len(sizes)


@pytest.mark.parametrize("model", CATALOG)
def test_an_exact_name_means_itself(model: str) -> None:
    typed = {model, model.lower(), model.replace("-", "_")}
    read = read_model(model)
    bare = read is not None and read.known and read.is_base and not read.says_base
    for text in typed:
        found = match(text, CATALOG)
        assert found
        assert found == (model,) or (bare and model not in found)


def test_a_bare_base_name_means_the_base_model_where_it_is_all_there_is() -> None:
    assert match("qwen2.5-3b", ["Qwen2.5-3B"]) == ("Qwen2.5-3B",)
    assert match("qwen2.5-1.5b-base", CATALOG) == ("Qwen2.5-1.5B",)
    assert match("Qwen/Qwen2.5-1.5B", CATALOG) == ("Qwen2.5-1.5B",)


@pytest.mark.parametrize("model", [m for m in CATALOG if hub_id(m)])
def test_a_hub_id_means_that_model(model: str) -> None:
    identity = hub_id(model)
    assert identity is not None
    assert match(identity, CATALOG) == (model,)
    assert match(identity.lower(), CATALOG) == (model,)
    assert match(f"nobody/{model}", CATALOG) == ()


@pytest.mark.parametrize(
    ("reference", "model"),
    [
        ("qwen3-4b-instruct-2507", "Qwen3-4B-Instruct-2507"),
        ("qwen3-4b-thinking", "Qwen3-4B-Thinking-2507"),
        ("qwen3-embedding-0.6b", "Qwen3-Embedding-0.6B"),
        ("phi-4-mini-reasoning", "Phi-4-mini-reasoning"),
        ("phi-3-mini-128k", "Phi-3-mini-128k-instruct"),
        ("qwen2.5-3b-abliterated", "Qwen2.5-3B-abliterated"),
        ("qwen2.5-7b-1m", "Qwen2.5-7B-Instruct-1M"),
        ("gemma-3-4b-pt", "gemma-3-4b-pt"),
    ],
)
def test_what_is_named_is_meant(reference: str, model: str) -> None:
    assert match(reference, CATALOG) == (model,)


@pytest.mark.parametrize(
    "reference", ["qwen2.5", "qwen3", "Qwen3-VL", "gemma-2", "foo", "qwen", "7b"]
)
def test_a_name_without_a_size_means_nothing(reference: str) -> None:
    catalog = [*CATALOG, "Qwen3-VL-8B-Instruct", "gemma-2-9b-it"]
    assert match(reference, catalog) == ()


def test_a_name_without_a_size_suggests_the_sizes() -> None:
    assert suggest("qwen2.5", CATALOG) == (
        "Qwen2.5-0.5B-Instruct",
        "Qwen2.5-1.5B-Instruct",
        "Qwen2.5-3B-Instruct",
    )
    assert suggest("deepseek-r1", ["DeepSeek-R1-Distill-Qwen-1.5B", "DeepSeek-OCR"]) == (
        "DeepSeek-R1-Distill-Qwen-1.5B",
    )


def test_a_size_that_is_not_there_suggests_the_nearest() -> None:
    assert suggest("qwen2.5-2b", CATALOG)[0] in {"Qwen2.5-1.5B-Instruct", "Qwen2.5-3B-Instruct"}
    assert suggest("qwen3-1.7b", CATALOG)[0] == "Qwen3-0.6B"


@pytest.mark.parametrize(
    ("typo", "model"),
    [
        *(("quen2.5-1.5b", "Qwen2.5-1.5B-Instruct"), ("qwen2.5-1.5", "Qwen2.5-1.5B-Instruct")),
        *(("lama-3.2-1b", "Llama-3.2-1B-Instruct"), ("gema-3-4b", "gemma-3-4b-it")),
        *(("smolm2-1.7b", "SmolLM2-1.7B-Instruct"), ("phi3.5mini", "Phi-3.5-mini-instruct")),
    ],
)
def test_did_you_mean(typo: str, model: str) -> None:
    assert model in suggest(typo, CATALOG)


def test_nothing_is_near_to_nonsense() -> None:
    assert suggest("xxxxxxxxxxxxxxxx", CATALOG) == ()
    assert suggest("qwen2.5", []) == ()
    assert len(suggest("qwen", CATALOG, limit=2)) <= 2


@pytest.mark.parametrize(
    ("reference", "hub"),
    [
        ("smollm2-1.7b", "HuggingFaceTB/SmolLM2-1.7B-Instruct"),
        ("phi4-mini", "microsoft/Phi-4-mini-instruct"),
        ("Qwen/Qwen2.5-1.5B", "Qwen/Qwen2.5-1.5B"),
        ("qwen2.5:1.5b", "Qwen/Qwen2.5-1.5B-Instruct"),
        ("qwen2.5-1.5b-base", "Qwen/Qwen2.5-1.5B"),
        ("llama2:7b", "meta-llama/Llama-2-7b-chat-hf"),
        ("mistral-7b", "mistralai/Mistral-7B-Instruct-v0.3"),
        ("tinyllama", "TinyLlama/TinyLlama-1.1B-Chat-v1.0"),
        ("internlm2-1.8b", "internlm/internlm2-chat-1_8b"),
        ("qwen2.5", None),
        ("my-own-model-7b", None),
        ("unsloth/Qwen2.5-1.5B-Instruct", None),
        ("Qwen/qwen25-15b", None),
        ("qwen2.5-3b-abliterated", None),
    ],
)
def test_models_that_are_known_without_a_build(reference: str, hub: str | None) -> None:
    found = known_model(reference)
    assert (found.hub_id if found else None) == hub
    assert found is None or hub_id(found.name) == hub


def test_what_is_known_of_a_model() -> None:
    found = known_model("qwen2.5-coder-3b")
    assert found is not None
    assert (found.name, found.family, found.params_b) == (
        "Qwen2.5-Coder-3B-Instruct",
        "Qwen2.5-Coder",
        3.0,
    )


# --- reading references --------------------------------------------------------------------------


@pytest.mark.parametrize("text", ["qwen2.5-1.5b", "qwen2.5:1.5b", "Qwen/Qwen2.5-1.5B", "通义千问"])
def test_a_model_reference(text: str) -> None:
    assert parse_reference(f" {text}\n") == Reference(text=text, model=text)


def test_a_reference_with_a_quantisation() -> None:
    found = parse_reference("qwen2.5-1.5b@W4A16_G128")
    assert (found.model, found.quant) == ("qwen2.5-1.5b", Quant(4, 16, 128))


REPO, PATH = "HanzoHuang/Qwen3-4B-RKLLM", "RK3576/Qwen3-4B_w4a16.rkllm"


@pytest.mark.parametrize(
    ("text", "source", "revision"),
    [
        (f"hf:{REPO}/{PATH}", "huggingface", None),
        (f"HF:{REPO}/{PATH}", "huggingface", None),
        (f"huggingface:{REPO}/{PATH}@v1.2.4", "huggingface", "v1.2.4"),
        (f"hf:{REPO}/{PATH}@main", "huggingface", None),
        (f"hf:{REPO}/{PATH}@refs/pr/1", "huggingface", "refs/pr/1"),
        (f"modelscope:{REPO}/{PATH}@{'a' * 40}", "modelscope", "a" * 40),
        (f"https://huggingface.co/{REPO}/resolve/main/{PATH}", "huggingface", None),
        (f"https://huggingface.co/{REPO}/resolve/main/{PATH}?download=true", "huggingface", None),
        (f"https://hf-mirror.com/{REPO}/blob/v1/{PATH}", "huggingface", "v1"),
        (f"http://127.0.0.1:9/{REPO}/blob/v1/{PATH}#top", "huggingface", "v1"),
        (f"https://www.modelscope.cn/models/{REPO}/resolve/master/{PATH}", "modelscope", None),
        (
            f"https://huggingface.co/{REPO}/resolve/main/{PATH.replace('/', '%2F')}",
            "huggingface",
            None,
        ),
    ],
)
def test_a_file_reference(text: str, source: str, revision: str | None) -> None:
    found = parse_reference(text)
    file = FileReference(source=source, repo=REPO, path=PATH, revision=revision)
    assert found == Reference(text=text, model=None, file=file)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        *(
            ("", "a reference must be"),
            ("   ", "a reference must be"),
            ("x" * 1001, "at most 1000"),
        ),
        *(
            (f"qwen{mark}3", "control characters")
            for mark in "\0\n\x1b\x7f\u200f\u202e\u2066\ufeff"
        ),
        *(
            ("1234", "not a model's name"),
            ("...", "not a model's name"),
            ("a/b/c", "not a model's"),
        ),
        *(("../qwen", "not a model's name"), ("/etc/passwd", "not a model's name")),
        *(("/qwen", "not a model's name"), ("qwen/", "not a model's name"), ("~/qwen", "not a")),
        *(("./model.rkllm", "not a model's name"), ("C:\\models\\x.rkllm", "not a model's name")),
        *(
            ("ftp://host/x/y.rkllm", "not a model's name"),
            ("qwen@w8a8@w4a16", "not a model's name"),
        ),
        *(("qwen3-4b@w5a5", "unknown quantisation 'w5a5'"), ("qwen3-4b@", "unknown quantisation")),
        *(
            ("@w8a8", "not a model's name"),
            ("hf:", "not a .rkllm file"),
            ("hf:a/b", "not a .rkllm"),
        ),
        *(("hf:a/b/c.gguf", "not a .rkllm file"), ("hf:/a/b/c.rkllm", "not a .rkllm file")),
        *(("hf:a/b/../c.rkllm", "not a .rkllm file"), ("hf:a//c.rkllm", "not a .rkllm file")),
        *(
            ("hf:a/b/c.rkllm@", "no revision behind the @"),
            ("hf:a/b/c.rkllm@../x", "not a revision"),
        ),
        *(("hf:a/b/c.rkllm@a..b", "not a revision"), ("hf:a/b/c.rkllm@a b", "not a revision")),
        *(
            ("https://huggingface.co/a/b", "not the address of a file"),
            ("https://", "not the address"),
        ),
        *(("https://huggingface.co/a/b/tree/main/c.rkllm", "not the address of a file"),),
        *(("https://huggingface.co/a/b/resolve/main/../c.rkllm", "not a .rkllm file"),),
        *(("https://huggingface.co/a/b/resolve/main/%2e%2e%2fc.rkllm", "not a .rkllm file"),),
        *(("https://huggingface.co/a/b/resolve/main/x%0a.rkllm", "not a .rkllm file"),),
        *(("https://huggingface.co/a/b/resolve/main/x%5c.rkllm", "not a .rkllm file"),),
        *(("https://[/a/b/resolve/main/c.rkllm", "is no address"),),
    ],
)
def test_what_is_no_reference(text: str, message: str) -> None:
    with pytest.raises(UsageError, match=re.escape(message)) as refused:
        parse_reference(text)
    assert not re.search(r"[\x00-\x1f\u202e]", str(refused.value))


def test_a_refusal_says_what_to_write() -> None:
    with pytest.raises(UsageError) as refused:
        parse_reference("../x")
    assert "qwen2.5-1.5b" in (refused.value.hint or "")


_PIECES = st.sampled_from(
    [
        "hf:",
        "https://",
        "huggingface.co",
        "/",
        "a",
        "..",
        "@",
        "w8a8",
        ".rkllm",
        "resolve",
        "%2F",
        "[",
    ]
)


@given(st.text(max_size=60) | st.lists(_PIECES, max_size=14).map("".join))
def test_any_text_is_read_or_refused(text: str) -> None:
    try:
        found = parse_reference(text)
    except UsageError:
        return
    assert (found.model is None) != (found.file is None)
    if found.model is not None:
        match(found.model, CATALOG)
        suggest(found.model, CATALOG)
        known_model(found.model)
    if found.file is not None:
        parts = [*found.file.repo.split("/"), *found.file.path.split("/")]
        assert not {"", ".", ".."} & set(parts)


def test_matching_is_quick() -> None:
    match("qwen2.5-1.5b", CATALOG)
    start = time.perf_counter()
    for _ in range(20):
        match("qwen2.5-1.5b", CATALOG)
    assert (time.perf_counter() - start) / 20 < 0.02
