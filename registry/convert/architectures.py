"""Which model architectures each toolkit release converts, as data.

The CHANGELOG and the guides name model families; the classes are those that the families' own
``config.json`` names. Source: https://github.com/airockchip/rknn-llm/blob/main/CHANGELOG.md
"""

from __future__ import annotations

from rkfetch.registry.versions import Version

CHANGELOG = "https://github.com/airockchip/rknn-llm/blob/main/CHANGELOG.md"

_SINCE = {
    "1.0.0": ("LlamaForCausalLM", "QWenLMHeadModel", "Qwen2ForCausalLM", "PhiForCausalLM"),
    "1.0.1": (
        "GemmaForCausalLM",
        "ChatGLMModel",
        "ChatGLMForConditionalGeneration",
        "MiniCPMForCausalLM",
        "InternLM2ForCausalLM",
        "Phi3ForCausalLM",
    ),
    "1.1.0": ("Gemma2ForCausalLM", "MiniCPM3ForCausalLM"),
    "1.1.4": ("TeleChat2ForCausalLM", "Qwen2VLForConditionalGeneration", "MiniCPMV"),
    "1.2.0": (
        "Gemma3ForCausalLM",
        "Gemma3ForConditionalGeneration",
        "InternVLChatModel",
        "MultiModalityCausalLM",
        "Qwen2_5_VLForConditionalGeneration",
    ),
    "1.2.1": ("Qwen3ForCausalLM",),
    "1.2.2": ("Gemma3nForConditionalGeneration",),
    "1.2.3": ("DeepseekOCRForCausalLM", "Qwen3VLForConditionalGeneration"),
    "1.3.0": (
        "Qwen3_5ForCausalLM",
        "Qwen3_5ForConditionalGeneration",
        "Gemma4ForCausalLM",
        "Gemma4ForConditionalGeneration",
        "SmolLM3ForCausalLM",
    ),
    "1.3.1": ("Lfm2VlForConditionalGeneration",),
}
_CLASSES = {name: Version(version) for version, names in _SINCE.items() for name in names}
_OF_GGUF = {
    "llama": "LlamaForCausalLM",
    "qwen2": "Qwen2ForCausalLM",
    "qwen3": "Qwen3ForCausalLM",
    "phi3": "Phi3ForCausalLM",
    "gemma": "GemmaForCausalLM",
    "gemma2": "Gemma2ForCausalLM",
    "gemma3": "Gemma3ForCausalLM",
    "minicpm": "MiniCPMForCausalLM",
    "minicpm3": "MiniCPM3ForCausalLM",
    "internlm2": "InternLM2ForCausalLM",
}
"""What GGUF's ``general.architecture`` calls them."""


def supported_since(architecture: str) -> Version | None:
    """Return the first toolkit that names an architecture; None for one that none names."""
    return _CLASSES.get(_OF_GGUF.get(architecture, architecture))


def is_multimodal(architecture: str) -> bool:
    """Tell whether only the language part of such a model becomes an ``.rkllm`` file."""
    return architecture.endswith(("ForConditionalGeneration", "MiniCPMV")) or architecture in {
        "InternVLChatModel",
        "MultiModalityCausalLM",
        "DeepseekOCRForCausalLM",
    }
