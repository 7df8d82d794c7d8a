"""Make tiny models with random weights: ``python real_models.py FOLDER``, with transformers there.

It is run by the toolkit's own Python, 3.8. Each model has some half a million parameters.
"""

from __future__ import annotations

import io
import json
import sys
from pathlib import Path

import sentencepiece  # type: ignore[import-not-found]
import torch  # type: ignore[import-not-found]
import transformers  # type: ignore[import-not-found]
from transformers.models.gpt2.tokenization_gpt2 import (  # type: ignore[import-not-found]
    bytes_to_unicode,
)

WORDS = "the quick brown fox jumps over a lazy dog while seven wizards mix potions in bold jars"


def make_qwen2(folder: Path, *, key_value_heads: int = 4) -> None:
    """Write a Qwen2 model; K and V are 32 wide for each of their heads."""
    folder.mkdir()
    letters = list(bytes_to_unicode().values())
    merges = [(a, b) for a in "etaoin" for b in "rshdlu"]
    vocabulary = [*letters, *(a + b for a, b in merges)]
    (folder / "vocab.json").write_text(
        json.dumps({token: at for at, token in enumerate(vocabulary)}), encoding="utf-8"
    )
    lines = ["#version: 0.2", *(f"{a} {b}" for a, b in merges), ""]
    (folder / "merges.txt").write_text("\n".join(lines), encoding="utf-8")
    tokenizer = transformers.Qwen2Tokenizer(
        str(folder / "vocab.json"), str(folder / "merges.txt"), pad_token="<|endoftext|>"
    )
    tokenizer.save_pretrained(folder)
    config = transformers.Qwen2Config(
        vocab_size=len(vocabulary) + 28,
        hidden_size=128,
        intermediate_size=256,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=key_value_heads,
        max_position_embeddings=512,
        eos_token_id=len(vocabulary),
        bos_token_id=len(vocabulary),
    )
    transformers.Qwen2ForCausalLM(config).half().save_pretrained(folder)


def make_llama(folder: Path) -> None:
    """Write a Llama model with a sentencepiece tokenizer."""
    folder.mkdir()
    model = io.BytesIO()
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter(WORDS.split() * 40),
        model_writer=model,
        vocab_size=96,
        model_type="bpe",
        byte_fallback=False,
        hard_vocab_limit=False,
    )
    (folder / "tokenizer.model").write_bytes(model.getvalue())
    # As on the Hub, in both forms: the toolkit of that time asks for tokenizer.model by itself.
    tokenizer = transformers.LlamaTokenizerFast(str(folder / "tokenizer.model"))
    tokenizer.save_pretrained(folder)
    config = transformers.LlamaConfig(
        vocab_size=len(tokenizer),
        hidden_size=128,
        intermediate_size=256,
        num_hidden_layers=2,
        num_attention_heads=4,
        max_position_embeddings=512,
    )
    transformers.LlamaForCausalLM(config).half().save_pretrained(folder)


if __name__ == "__main__":
    torch.manual_seed(0)
    base = Path(sys.argv[1])
    make_qwen2(base / "qwen2")
    make_qwen2(base / "narrow", key_value_heads=2)
    make_llama(base / "llama")
