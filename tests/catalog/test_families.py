"""Families: every published name is read as itself, and near names are not taken for it."""

from __future__ import annotations

import re
import subprocess
import sys

import pytest

from rkfetch.catalog.families import read_model
from rkfetch.catalog.family_data import FAMILIES
from rkfetch.catalog.models import _perhaps_of_family

_IDS = """
Qwen/Qwen3-0.6B Qwen/Qwen3-4B-Instruct-2507 Qwen/Qwen3-4B-Thinking-2507 Qwen/Qwen3-8B-Base
Qwen/Qwen3-30B-A3B Qwen/Qwen3-VL-2B-Instruct Qwen/Qwen3-VL-4B-Thinking Qwen/Qwen3-Embedding-0.6B
Qwen/Qwen3-Reranker-0.6B Qwen/Qwen3-VL-Embedding-2B Qwen/Qwen3-Coder-30B-A3B-Instruct
Qwen/Qwen2.5-0.5B Qwen/Qwen2.5-1.5B-Instruct Qwen/Qwen2.5-7B-Instruct-1M Qwen/Qwen2.5-Coder-3B
Qwen/Qwen2.5-Coder-7B-Instruct Qwen/Qwen2.5-Math-1.5B-Instruct Qwen/Qwen2.5-VL-3B-Instruct
Qwen/Qwen2.5-Omni-3B Qwen/Qwen2-0.5B-Instruct Qwen/Qwen2-VL-2B-Instruct Qwen/Qwen2-57B-A14B
Qwen/Qwen1.5-1.8B-Chat Qwen/Qwen-7B-Chat Qwen/QwQ-32B Qwen/CodeQwen1.5-7B-Chat
deepseek-ai/DeepSeek-R1-Distill-Qwen-1.5B deepseek-ai/DeepSeek-R1-Distill-Llama-8B
deepseek-ai/DeepSeek-R1-0528-Qwen3-8B deepseek-ai/deepseek-coder-1.3b-instruct
deepseek-ai/deepseek-coder-7b-instruct-v1.5 deepseek-ai/deepseek-llm-7b-chat
deepseek-ai/deepseek-math-7b-rl deepseek-ai/DeepSeek-Prover-V1.5-RL
deepseek-ai/DeepSeek-V2-Lite-Chat deepseek-ai/DeepSeek-Coder-V2-Lite-Instruct
deepseek-ai/DeepSeek-OCR deepseek-ai/Janus-Pro-1B
meta-llama/Llama-3.3-70B-Instruct meta-llama/Llama-3.2-1B meta-llama/Llama-3.2-3B-Instruct
meta-llama/Llama-3.1-8B-Instruct meta-llama/Meta-Llama-3-8B-Instruct meta-llama/Llama-2-7b-chat-hf
meta-llama/Llama-Guard-3-1B codellama/CodeLlama-7b-Instruct-hf TinyLlama/TinyLlama-1.1B-Chat-v1.0
google/gemma-3-270m-it google/gemma-3-1b-it google/gemma-3-4b-pt google/gemma-3n-E2B-it
google/gemma-2-2b google/gemma-2-2b-it google/gemma-2-2b-jpn-it google/gemma-2b-it
google/gemma-1.1-2b-it google/codegemma-2b google/codegemma-7b-it google/embeddinggemma-300m
google/medgemma-4b-it google/paligemma2-3b-mix-224
microsoft/Phi-4-mini-instruct microsoft/Phi-4-mini-reasoning microsoft/Phi-4-mini-flash-reasoning
microsoft/phi-4 microsoft/Phi-3.5-mini-instruct microsoft/Phi-3-mini-4k-instruct
microsoft/Phi-3-medium-128k-instruct microsoft/phi-2 microsoft/phi-1_5 microsoft/NextCoder-7B
microsoft/bitnet-b1.58-2B-4T microsoft/Phi-3.5-vision-instruct microsoft/Phi-4-multimodal-instruct
openbmb/MiniCPM4-0.5B openbmb/MiniCPM4.1-8B openbmb/MiniCPM3-4B openbmb/MiniCPM-2B-sft-bf16
openbmb/MiniCPM-V-2_6 openbmb/MiniCPM-V-4_5 openbmb/MiniCPM-o-2_6
zai-org/chatglm3-6b zai-org/glm-4-9b-chat zai-org/glm-edge-1.5b-chat zai-org/GLM-4-9B-0414
zai-org/GLM-Z1-9B-0414 zai-org/GLM-4.1V-9B-Thinking
OpenGVLab/InternVL3_5-1B OpenGVLab/InternVL3-2B OpenGVLab/InternVL2_5-1B OpenGVLab/InternVL2-1B
internlm/internlm3-8b-instruct internlm/internlm2_5-1_8b-chat internlm/internlm2_5-7b-chat-1m
internlm/internlm2-chat-1_8b HuggingFaceTB/SmolLM3-3B HuggingFaceTB/SmolLM2-1.7B-Instruct
HuggingFaceTB/SmolLM2-360M HuggingFaceTB/SmolVLM2-500M-Video-Instruct HuggingFaceTB/SmolVLM-Instruct
HuggingFaceTB/SmolVLM2-2.2B-Instruct HuggingFaceTB/SmolVLM-256M-Instruct
ibm-granite/granite-3.3-2b-instruct ibm-granite/granite-3.1-8b-base ibm-granite/granite-4.0-h-1b
mistralai/Mistral-7B-Instruct-v0.3 mistralai/Ministral-8B-Instruct-2410
mistralai/Ministral-3-3B-Instruct-2512 tiiuae/Falcon3-1B-Instruct tiiuae/Falcon-H1-0.5B-Instruct
tiiuae/Falcon-H1-1.5B-Deep-Instruct apple/FastVLM-0.5B ByteDance-Seed/Seed-Coder-8B-Instruct
Alibaba-NLP/gte-Qwen2-1.5B-instruct BAAI/bge-m3 BAAI/bge-reranker-v2-m3 01-ai/Yi-1.5-6B-Chat
01-ai/Yi-Coder-1.5B-Chat tencent/Hunyuan-0.5B-Instruct tencent/Hunyuan-1.8B-Pretrain
tencent/Youtu-LLM-2B LiquidAI/LFM2-1.2B LiquidAI/LFM2-VL-450M LiquidAI/LFM2.5-1.2B-Instruct
baidu/ERNIE-4.5-0.3B-PT baidu/ERNIE-4.5-0.3B-Base-PT LGAI-EXAONE/EXAONE-4.0-1.2B
LGAI-EXAONE/EXAONE-3.5-2.4B-Instruct LGAI-EXAONE/EXAONE-Deep-2.4B AIDC-AI/Marco-o1
allenai/OLMo-2-0425-1B-Instruct allenai/OLMo-2-1124-7B-Instruct stabilityai/stablelm-2-1_6b-chat
bigcode/starcoder2-3b NousResearch/Hermes-3-Llama-3.2-3B Nanbeige/Nanbeige4.1-3B
Salesforce/xLAM-1b-fc-r moonshotai/Kimi-VL-A3B-Instruct baichuan-inc/Baichuan2-7B-Chat
Infinigence/Megrez-3B-Instruct IndexTeam/Index-1.9B-Chat vivo-ai/BlueLM-7B-Chat
llm-jp/llm-jp-3-1.8b-instruct XiaomiMiMo/MiMo-7B-RL
"""
PUBLISHED = _IDS.split()


@pytest.mark.parametrize("hub_id", PUBLISHED)
def test_published_names_are_read_as_themselves(hub_id: str) -> None:
    name = hub_id.partition("/")[2]
    spellings = (
        name,
        name.lower(),
        name.upper(),
        name.replace("-", "_"),
        hub_id.replace("/", "_"),
        f"unsloth-{name}",
    )
    for spelling in spellings:
        model = read_model(spelling)
        assert model is not None
        assert (model.hub_id, model.name) == (hub_id, name)
        assert _perhaps_of_family(model, [spelling]) == [spelling]


def test_every_family_with_ids_has_one_here() -> None:
    with_ids = {f.organisation for f in FAMILIES if f.organisation and (f.sizes or f.complete_name)}
    assert with_ids - {hub_id.partition("/")[0] for hub_id in PUBLISHED} == {"Tele-AI"}


@pytest.mark.parametrize(
    "name",
    [
        *("Qwen3-5B", "Qwen2.5-2B-Instruct", "Qwen3-8B-Instruct-2507", "Qwen3-32B-Base", "Qwen3"),
        *("deepseek-coder-7b-instruct-v2", "Llama-3.2-11B", "gemma-3-270m-pt", "codegemma-2b-it"),
        *("TinyLlama-1.1B", "MiniCPM-2B-dpo", "Mistral-7B", "Seed-Coder-8B", "granite-4.2-3b"),
        *("Qwen2.5-3B-Instruct-1M", "Phi-3.5-medium-instruct", "internlm2_5-20b-chat-1m", "Foo-7B"),
    ],
)
def test_no_id_is_made_up(name: str) -> None:
    model = read_model(name)
    assert model is not None
    assert model.hub_id is None


@pytest.mark.parametrize(
    "name",
    [
        *("Qwen2.5-3B-abliterated", "Qwen3Guard-Gen-0.6B", "Huihui-Qwen3-4B-abliterated-v2"),
        *("SystemGemma2-2b-it", "Vi-Qwen2-3B-RAG", "DeepHermes-3", "cogito-v1-preview-qwen-14B"),
        *("llama3-8b-cpt-sahabatai-v1-instruct", "Qwen2.5-7B-Instruct-medical", "MyQwen3-4B"),
        *(
            "Qwen3-4B-roleplay-v2",
            "gemma-3-4b-it-uncensored",
            "LFM2-1.2B-RAG",
            "Qwen2.5-Math-RM-72B",
        ),
    ],
)
def test_a_fine_tune_keeps_its_name(name: str) -> None:
    model = read_model(name)
    assert model is not None
    assert (model.name, model.known, model.hub_id) == (name, False, None)


@pytest.mark.parametrize(
    ("name", "family"),
    [
        ("Qwen2.5-3B-abliterated", "Qwen2.5"),
        ("Huihui-Qwen3-4B-abliterated-v2", "Qwen3"),
        ("cogito-v1-preview-llama3.2-3B", "Llama-3.2"),
        ("LegalOne-4B", None),
    ],
)
def test_a_fine_tune_is_browsed_by_the_family_it_names(name: str, family: str | None) -> None:
    model = read_model(name)
    assert model is not None
    assert model.family == family


@pytest.mark.parametrize("text", ["", "-", "123", "1.5", "...", "/", "_"])
def test_names_of_no_model(text: str) -> None:
    assert read_model(text) is None


@pytest.mark.parametrize(
    ("name", "base"),
    [
        *(("Qwen2.5-1.5B", True), ("Qwen2.5-1.5B-Instruct", False), ("Qwen3-4B", False)),
        *(("Qwen3-4B-Base", True), ("gemma-2-2b", True), ("gemma-3-4b-pt", True)),
        *(("ERNIE-4.5-0.3B-PT", False), ("ERNIE-4.5-0.3B-Base-PT", True), ("phi-2", False)),
        *(("Hunyuan-1.8B-Pretrain", True), ("Llama-2-7b-hf", True), ("Llama-2-7b-chat-hf", False)),
    ],
)
def test_base_models(name: str, base: bool) -> None:
    model = read_model(name)
    assert model is not None
    assert model.is_base is base


def test_patterns_begin_with_the_letters_they_are_found_by() -> None:
    for family in FAMILIES:
        assert re.match(r"[a-z]{2}", family.pattern), family.name


def test_sizes_and_words_are_lower_case_keys() -> None:
    for family in FAMILIES:
        sizes = [*family.sizes, *family.size_words, *(s for o in family.only.values() for s in o)]
        keys = [*sizes, *family.words, *family.kinds, *family.only]
        assert keys == [key.lower() for key in keys], family.name
        assert set(family.only) <= set(family.words), family.name


def test_nothing_is_compiled_before_it_is_needed() -> None:
    code = (
        "import rkfetch.catalog.families as f, rkfetch.catalog.tokens as t;"
        "print(f._starting.cache_info().currsize, t._tokens.cache_info().currsize)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["0", "0"]
