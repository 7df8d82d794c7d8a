"""What an upload's names say: made-up uploads in every style that was seen, and each trap."""

from __future__ import annotations

import importlib.util
import re
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rkfetch.catalog.naming import CardFacts, guess
from rkfetch.registry.model import Origin

if TYPE_CHECKING:
    from rkfetch.catalog.naming import Guess

# repository | path | model | billions | platform | quantisation | toolkit | context
TABLE = """
# Rockchip's own script, and those who use it
someone/Qwen2.5-0.5B-Instruct-rkllm | Qwen2.5-0.5B-Instruct_W4A16_RK3576.rkllm | Qwen2.5-0.5B-Instruct | 0.5 | rk3576 | w4a16 | - | -
someone/models | Qwen2.5-1.5B-Instruct_W4A16_G128_RK3576.rkllm | Qwen2.5-1.5B-Instruct | 1.5 | rk3576 | w4a16_g128 | - | -
someone/models | Qwen2.5-3B-Instruct_W8A8_RK3588.rkllm | Qwen2.5-3B-Instruct | 3 | rk3588 | w8a8 | - | -
someone/models | Qwen3-0.6B_w4a16_g32_rk3576.rkllm | Qwen3-0.6B | 0.6 | rk3576 | w4a16_g32 | - | -
someone/models | Qwen3-8B_W8A8_G512_RK3588.rkllm | Qwen3-8B | 8 | rk3588 | w8a8_g512 | - | -
someone/models | Qwen2.5-VL-3B-Instruct_W4A16_RK3576.rkllm | Qwen2.5-VL-3B-Instruct | 3 | rk3576 | w4a16 | - | -
someone/models | qwen2.5-vl-3b-instruct_w4a16_g128_rk3576.rkllm | Qwen2.5-VL-3B-Instruct | 3 | rk3576 | w4a16_g128 | - | -
someone/models | Qwen2-0.5B_W8A8_RK3562.rkllm | Qwen2-0.5B | 0.5 | rk3562 | w8a8 | - | -
someone/models | Qwen3-0.6B_W4A16_RV1126B.rkllm | Qwen3-0.6B | 0.6 | rv1126b | w4a16 | - | -
someone/models | gemma3_1b_w4a16_rk3576.rkllm | gemma-3-1b-it | 1 | rk3576 | w4a16 | - | -
someone/models | gemma3_270m_w8a8_rk3588.rkllm | gemma-3-270m-it | 0.27 | rk3588 | w8a8 | - | -
someone/models | InternVL3_5-1B_W4A16_RK3576.rkllm | InternVL3_5-1B | 1 | rk3576 | w4a16 | - | -
someone/models | internvl3_5_2b_w8a8_rk3588.rkllm | InternVL3_5-2B | 2 | rk3588 | w8a8 | - | -
someone/models | InternVL3-2B_W4A16_RK3576.rkllm | InternVL3-2B | 2 | rk3576 | w4a16 | - | -
someone/models | MiniCPM-V-4_W8A8_RK3588.rkllm | MiniCPM-V-4 | 4.1 | rk3588 | w8a8 | - | -
someone/models | minicpm_v_2_6_w8a8_rk3588.rkllm | MiniCPM-V-2_6 | 8 | rk3588 | w8a8 | - | -
someone/models | RWKV7-G1-1.5B_w8a8_rk3588.rkllm | RWKV7-G1-1.5B | 1.5 | rk3588 | w8a8 | - | -
someone/models | smolvlm_256m_w8a8_rk3588.rkllm | SmolVLM-256M-Instruct | 0.256 | rk3588 | w8a8 | - | -
someone/models | SmolVLM2-256M_llm_w8a8_rk3576.rkllm | SmolVLM2-256M-Video-Instruct | 0.256 | rk3576 | w8a8 | - | -
someone/models | deepseekocr2_w8a8_rk3588.rkllm | DeepSeek-OCR-2 | 3 | rk3588 | w8a8 | - | -
someone/models | Phi-3-mini-4k-instruct_W4A16_RK3576.rkllm | Phi-3-mini-4k-instruct | 3.8 | rk3576 | w4a16 | - | -
someone/models | Phi-3.5-mini-instruct_w4a16_g64_rk3576.rkllm | Phi-3.5-mini-instruct | 3.8 | rk3576 | w4a16_g64 | - | -
someone/models | gemma-2-2b-it_W8A8_RK3576.rkllm | gemma-2-2b-it | 2 | rk3576 | w8a8 | - | -
someone/models | internlm2-chat-1_8b_W4A16_RK3576.rkllm | internlm2-chat-1_8b | 1.8 | rk3576 | w4a16 | - | -
someone/models | chatglm3-6b_W8A8_RK3588.rkllm | chatglm3-6b | 6 | rk3588 | w8a8 | - | -
# c01zaut, dulimov, limcheekin: everything spelled out
c01zaut/Qwen2.5-Math-1.5B-Instruct-rk3588-1.1.2 | Qwen2.5-Math-1.5B-Instruct-rk3588-w8a8-opt-1-hybrid-ratio-0.5.rkllm | Qwen2.5-Math-1.5B-Instruct | 1.5 | rk3588 | w8a8 | 1.1.2 | -
c01zaut/SmolLM2-1.7B-Instruct-rk3588-1.1.4 | SmolLM2-1.7B-Instruct-rk3588-w8a8_g256-opt-0-hybrid-ratio-1.0.rkllm | SmolLM2-1.7B-Instruct | 1.7 | rk3588 | w8a8_g256 | 1.1.4 | -
c01zaut/Yi-1.5-6B-Chat-rk3588-1.1.1 | Yi-1.5-6B-Chat-rk3588-w8a8-opt-0-hybrid-ratio-0.0.rkllm | Yi-1.5-6B-Chat | 6 | rk3588 | w8a8 | 1.1.1 | -
c01zaut/Mistral-7B-Instruct-v0.3-rk3588-1.1.1 | Mistral-7B-Instruct-v0.3-rk3588-w8a8-opt-1-hybrid-ratio-0.0.rkllm | Mistral-7B-Instruct-v0.3 | 7 | rk3588 | w8a8 | 1.1.1 | -
c01zaut/deepseek-coder-7b-instruct-v1.5-rk3588-1.1.4 | deepseek-coder-7b-instruct-v1.5-rk3588-w8a8-opt-0-hybrid-ratio-1.0.rkllm | deepseek-coder-7b-instruct-v1.5 | 7 | rk3588 | w8a8 | 1.1.4 | -
c01zaut/internlm2_5-7b-chat-1m-RK3588-1.1.4 | internlm2_5-7b-chat-1m-rk3588-w8a8-opt-1-hybrid-ratio-0.5.rkllm | internlm2_5-7b-chat-1m | 7 | rk3588 | w8a8 | 1.1.4 | -
c01zaut/gemma-1.1-2b-it-rk3588-1.1.4 | - | gemma-1.1-2b-it | 2 | rk3588 | - | 1.1.4 | -
c01zaut/Phi-3-mini-128k-instruct-rk3588-1.1.1 | Phi-3-mini-128k-instruct-rk3588-w8a8-opt-1-hybrid-ratio-0.0.rkllm | Phi-3-mini-128k-instruct | 3.8 | rk3588 | w8a8 | 1.1.1 | -
c01zaut/DeepSeek-Prover-V1.5-SFT-rk3588-1.1.4 | - | DeepSeek-Prover-V1.5-SFT | - | rk3588 | - | 1.1.4 | -
c01zaut/SystemGemma2-2b-it-RK3588-1.1.4 | SystemGemma2-2b-it-rk3588-w8a8_g512-opt-0-hybrid-ratio-0.5.rkllm | SystemGemma2-2b-it | 2 | rk3588 | w8a8_g512 | 1.1.4 | -
dulimov/Qwen3-8B-rk3576-1.2.1 | Qwen3-8B-rk3576-w4a16-opt-1-hybrid-ratio-0.0.rkllm | Qwen3-8B | 8 | rk3576 | w4a16 | 1.2.1 | -
dulimov/Qwen3-4B-rk3588-1.2.1-unsloth-16k | Qwen3-4B-rk3588-w8a8_g128-opt-1-hybrid-ratio-0.5.rkllm | Qwen3-4B | 4 | rk3588 | w8a8_g128 | 1.2.1 | 16384
dulimov/Qwen3-1.7B-rk3588-1.2.1-base | Qwen3-1.7B-rk3588-w8a8-opt-0-hybrid-ratio-0.0.rkllm | Qwen3-1.7B | 1.7 | rk3588 | w8a8 | 1.2.1 | -
dulimov/Qwen3-30B-A3B-Instruct-2507-rk3588-1.2.1 | Qwen3-30B-A3B-Instruct-2507-rk3588-w8a8-opt-1-hybrid-ratio-0.0.rkllm | Qwen3-30B-A3B-Instruct-2507 | 30 | rk3588 | w8a8 | 1.2.1 | -
limcheekin/Qwen2.5-7B-Instruct-1M-rk3588-1.1.4 | Qwen2.5-7B-Instruct-1M-rk3588-w8a8-opt-0-hybrid-ratio-0.0.rkllm | Qwen2.5-7B-Instruct-1M | 7 | rk3588 | w8a8 | 1.1.4 | -
limcheekin/granite-3.1-2b-instruct-rk3588-1.1.4 | granite-3.1-2b-instruct-rk3588-w8a8_g128-opt-1-hybrid-ratio-0.0.rkllm | granite-3.1-2b-instruct | 2 | rk3588 | w8a8_g128 | 1.1.4 | -
limcheekin/cogito-v1-preview-llama-3B-rk3588-1.1.4 | cogito-v1-preview-llama-3B-rk3588-w8a8-opt-1-hybrid-ratio-0.0.rkllm | cogito-v1-preview-llama-3B | 3 | rk3588 | w8a8 | 1.1.4 | -
limcheekin/qwen3-4b-rk3588-16k.w8a8.rkllm | model.rkllm | Qwen3-4B | 4 | rk3588 | w8a8 | - | 16384
randomblock1/Phi-4-mini-instruct-rk3588 | Phi-4-mini-instruct-rk3588-w8a8-opt-0-hybrid-ratio-0.0-8k-npu3.rkllm | Phi-4-mini-instruct | 3.8 | rk3588 | w8a8 | - | 8192
thanhtantran/Vi-Qwen2-1.5B-RAG-rk3588-1.2.0 | - | Vi-Qwen2-1.5B-RAG | 1.5 | rk3588 | - | 1.2.0 | -
imkebe/Qwen3-4B-Instruct-2507-rk3588-1.2.2 | qwen3-4b-instruct-2507-rk3588-w8a8.rkllm | Qwen3-4B-Instruct-2507 | 4 | rk3588 | w8a8 | 1.2.2 | -
datakurre/gemma-3-1b-it-RK3576-1.2.0 | gemma-3-1b-it-rk3576-w4a16_g128-opt-1-hybrid-ratio-0.0.rkllm | gemma-3-1b-it | 1 | rk3576 | w4a16_g128 | 1.2.0 | -
# HanzoHuang: a folder per platform
HanzoHuang/Qwen3-0.6B-RKLLM | RK3576/Qwen3-0.6B_RK3576_w4a16.rkllm | Qwen3-0.6B | 0.6 | rk3576 | w4a16 | - | -
HanzoHuang/Qwen3-0.6B-RKLLM | RK3588/Qwen3-0.6B_RK3588_w8a8_g128.rkllm | Qwen3-0.6B | 0.6 | rk3588 | w8a8_g128 | - | -
HanzoHuang/Phi-3-mini-4k-instruct-RKLLM | RK3576/Phi-3-mini-4k-instruct_RK3576_w4a16_g128.rkllm | Phi-3-mini-4k-instruct | 3.8 | rk3576 | w4a16_g128 | - | -
HanzoHuang/TinyLlama-1.1B-Chat-v1.0-RKLLM | RK3576/TinyLlama-1.1B-Chat-v1.0_RK3576_w8a8.rkllm | TinyLlama-1.1B-Chat-v1.0 | 1.1 | rk3576 | w8a8 | - | -
HanzoHuang/internlm2-chat-1_8b-RKLLM | RK3588/internlm2-chat-1_8b_RK3588_w8a8.rkllm | internlm2-chat-1_8b | 1.8 | rk3588 | w8a8 | - | -
HanzoHuang/gemma-4-E4B-it-RKLLM | RK3576/gemma-4-E4B-it_RK3576_w4a16_g128.rkllm | gemma-4-E4B-it | - | rk3576 | w4a16_g128 | - | -
HanzoHuang/Qwen3-VL-2B-Instruct-RKLLM | RK3576/Qwen3-VL-2B-Instruct_RK3576_w4a16.rkllm | Qwen3-VL-2B-Instruct | 2 | rk3576 | w4a16 | - | -
HanzoHuang/Qwen2.5-3B-Instruct-RKLLM | RK3576%2FQwen2.5-3B-Instruct_RK3576_w4a16.rkllm | Qwen2.5-3B-Instruct | 3 | rk3576 | w4a16 | - | -
HanzoHuang/Qwen3-4B-RKLLM | Qwen3-4B_w4a16_RK3576.rkllm | Qwen3-4B | 4 | rk3576 | w4a16 | - | -
# MichaelAndrewFischer, GatekeeperZA, ThomasTheMaker, VRxiaojie: versions in the repository
MichaelAndrewFischer/Qwen3-4B-Base-rk3576-w4a16-grq-v1.2.3-RKLLM | Qwen3-4B-Base-rk3576-w4a16-grq-v1.2.3.rkllm | Qwen3-4B-Base | 4 | rk3576 | w4a16 | 1.2.3 | -
MichaelAndrewFischer/Qwen3-0.6B-Base-rk3576-w8a8-normal-v1.2.3-RKLLM | - | Qwen3-0.6B-Base | 0.6 | rk3576 | w8a8 | 1.2.3 | -
MichaelAndrewFischer/Qwen3-VL-2B-Instruct-rk3576-w4a16-grq-RKLLM | Qwen3-VL-2B-Instruct-rk3576-w4a16-grq.rkllm | Qwen3-VL-2B-Instruct | 2 | rk3576 | w4a16 | - | -
GatekeeperZA/Qwen2.5-Coder-3B-Instruct-RKLLM-v1.2.3 | Qwen2.5-Coder-3B-Instruct-w8a8-rk3588.rkllm | Qwen2.5-Coder-3B-Instruct | 3 | rk3588 | w8a8 | 1.2.3 | -
GatekeeperZA/InternVL3.5-2B-Instruct-RKLLM-v1.2.3 | internvl3_5-2b-instruct_w8a8_rk3588.rkllm | InternVL3_5-2B | 2 | rk3588 | w8a8 | 1.2.3 | -
GatekeeperZA/DeepSeek-R1-Distill-Qwen-1.5B-w8a8-RKLLM-v1.2.3 | - | DeepSeek-R1-Distill-Qwen-1.5B | 1.5 | - | w8a8 | 1.2.3 | -
GatekeeperZA/Qwen3-Reranker-4B-RKLLM-v1.2.3 | Qwen3-Reranker-4B-w8a8-rk3588.rkllm | Qwen3-Reranker-4B | 4 | rk3588 | w8a8 | 1.2.3 | -
GatekeeperZA/SmolLM3-3B-RKLLM-v1.2.3 | SmolLM3-3B-w8a8-rk3588.rkllm | SmolLM3-3B | 3 | rk3588 | w8a8 | 1.2.3 | -
ThomasTheMaker/SmolLM2-360M-Instruct-RKLLM-1.2.1 | SmolLM2-360M-Instruct-1.2.1.rkllm | SmolLM2-360M-Instruct | 0.36 | - | - | 1.2.1 | -
ThomasTheMaker/gemma-3-270m-it-RKLLM-v1.2.1 | gemma-3-270m-it-1.2.1.rkllm | gemma-3-270m-it | 0.27 | - | - | 1.2.1 | -
VRxiaojie/Qwen2.5-1.5B-Instruct-RK3588S-RKLLM1.1.4 | qwen2.5-1.5B-instruct-rkllm1.1.4.rkllm | Qwen2.5-1.5B-Instruct | 1.5 | rk3588 | - | 1.1.4 | -
VRxiaojie/DeepSeek-R1-Distill-Llama-8B-RK3588S-RKLLM1.1.4 | deepseek-r1-8B-rkllm1.1.4.rkllm | DeepSeek-R1-Distill-Llama-8B | 8 | rk3588 | - | 1.1.4 | -
punchnox/TinyLlama-1.1B-rk3588-rkllm-1.1.4 | - | TinyLlama-1.1B | 1.1 | rk3588 | - | 1.1.4 | -
hajajmaor/gemma-3n-E2B-it-rk3588-1.2.3 | gemma-3n-E2B-it-rk3588-w8a8-opt-0-hybrid-ratio-0.0.rkllm | gemma-3n-E2B-it | - | rk3588 | w8a8 | 1.2.3 | -
# RKNNAI: a folder per configuration
RKNNAI/RK3576-LLM-Qwen3-1.7B | Qwen3-1.7B-w4a16-2-2048/Qwen3-1.7B.rkllm | Qwen3-1.7B | 1.7 | rk3576 | w4a16 | - | 2048
RKNNAI/RK3576-LLM-Qwen3-0.6B | Qwen3-0.6B-w4a16_g128-2-4096/model.rkllm | Qwen3-0.6B | 0.6 | rk3576 | w4a16_g128 | - | 4096
RKNNAI/RK3588-LLM-Qwen2.5-1.5B-Instruct | w8a8-3-1024/model.rkllm | Qwen2.5-1.5B-Instruct | 1.5 | rk3588 | w8a8 | - | 1024
RKNNAI/RK3576-LLM-Qwen3-4B-Instruct-2507 | - | Qwen3-4B-Instruct-2507 | 4 | rk3576 | - | - | -
RKNNAI/RK3576-VLM-Qwen3-VL-2B-Instruct | - | Qwen3-VL-2B-Instruct | 2 | rk3576 | - | - | -
# convert-to-rkllm: everything in the folder
user/Qwen3-1.7B-rkllm | rk3576-2npu-w4a16_g128/model.rkllm | Qwen3-1.7B | 1.7 | rk3576 | w4a16_g128 | - | -
user/SmolLM2-1.7B-Instruct-rkllm | rk3588-3npu-w8a8/model.rkllm | SmolLM2-1.7B-Instruct | 1.7 | rk3588 | w8a8 | - | -
user/gemma-3-1b-it-rkllm | rk3576-1npu-w4a16/model.rkllm | gemma-3-1b-it | 1 | rk3576 | w4a16 | - | -
# t-firefly, StationPC, JiahaoLi, Qengineering, FydeOS, jxke, Pelochus
t-firefly/qwen3-vl-2b-instruct-rkllm-rk3576 | qwen3-vl-2b-instruct_w4a16_g128_rk3576.rkllm | Qwen3-VL-2B-Instruct | 2 | rk3576 | w4a16_g128 | - | -
t-firefly/deepseek-r1-distill-qwen-1.5b-rkllm-rk3576 | - | DeepSeek-R1-Distill-Qwen-1.5B | 1.5 | rk3576 | - | - | -
StationPC/Qwen3.5-2B-RKLLM-RK3576 | - | Qwen3.5-2B | 2 | rk3576 | - | - | -
JiahaoLi/Qwen3-RK3576 | qwen3-1.7b_w4a16_g128_rk3576.rkllm | Qwen3-1.7B | 1.7 | rk3576 | w4a16_g128 | - | -
JiahaoLi/Gemma3-RK3576 | gemma3-4b_w4a16_g128_rk3576.rkllm | gemma-3-4b-it | 4 | rk3576 | w4a16_g128 | - | -
JiahaoLi/InternVL3-3576 | internvl3-2b_w8a8_rk3576.rkllm | InternVL3-2B | 2 | rk3576 | w8a8 | - | -
JiahaoLi/MiniCPM4-3588 | minicpm4-0.5b_w8a8.rkllm | MiniCPM4-0.5B | 0.5 | rk3588 | w8a8 | - | -
Qengineering/InternVL3-1B-rk3588 | internvl3-1b_w8a8_rk3588.rkllm | InternVL3-1B | 1 | rk3588 | w8a8 | - | -
Qengineering/SmolVLM2-256m-rk3588 | smolvlm2_256m_llm_w8a8_rk3588.rkllm | SmolVLM2-256M-Video-Instruct | 0.256 | rk3588 | w8a8 | - | -
FydeOS/Qwen2-0_5B_rkLLM | qwen2-0.5B.rkllm | Qwen2-0.5B | 0.5 | - | - | - | -
jxke/Qwen1.5-1.8B-chat-rkllm | Qwen1.5-1.8B-Chat.rkllm | Qwen1.5-1.8B-Chat | 1.8 | - | - | - | -
jxke/phi-2_rkllm | phi-2.rkllm | phi-2 | 2.7 | - | - | - | -
Pelochus/qwen1.5-chat-1_8B-rk3588 | qwen1.5-chat-1_8B.rkllm | Qwen1.5-1.8B-Chat | 1.8 | rk3588 | - | - | -
Pelochus/phi-2-rk3588 | phi-2-w8a8.rkllm | phi-2 | 2.7 | rk3588 | w8a8 | - | -
jsntwdj/rkllm | Qwen2.5-Coder-7B.rkllm | Qwen2.5-Coder-7B | 7 | - | - | - | -
romancone/rkllm-models | qwen3-0.6b.rkllm | Qwen3-0.6B | 0.6 | - | - | - | -
Prince-1/Qwen3-1.7B-RKllm | model.rkllm | Qwen3-1.7B | 1.7 | - | - | - | -
ndneighbor/gemma-4-E4B-it-RKLLM-RK3588-W8A8-ctx8k | gemma-4-E4B-it_w8a8_rk3588_ctx8192.rkllm | gemma-4-E4B-it | - | rk3588 | w8a8 | - | 8192
radxa/Qwen2.5-VL-3B_RKLLM | qwen2.5-vl-3b-instruct_W8A8_rk3588.rkllm | Qwen2.5-VL-3B-Instruct | 3 | rk3588 | w8a8 | - | -
jamescallander/Qwen3-8B_w8a8_g128_rk3588.rkllm | Qwen3-8B_w8a8_g128_rk3588.rkllm | Qwen3-8B | 8 | rk3588 | w8a8_g128 | - | -
jamescallander/Ministral-8B-Instruct-2410_w8a8_g128_rk3588.rkllm | - | Ministral-8B-Instruct-2410 | 8 | rk3588 | w8a8_g128 | - | -
lyvivian/Qwen3-1.7B_rk3576_w4a16_2k.rkllm | Qwen3-1.7B_rk3576_w4a16_2k.rkllm | Qwen3-1.7B | 1.7 | rk3576 | w4a16 | - | 2048
kautism/Qwen2.5-1.5B-abliterated-RKLLM | Qwen2.5-1.5B-abliterated-8k-rk3588.rkllm | Qwen2.5-1.5B-abliterated | 1.5 | rk3588 | - | - | 8192
okletsgg/deepseek-r1-distill-qwen-1.5b-rk3576 | DeepSeek-R1-Distill-Qwen-1.5B-rk3576-w4a16.rkllm | DeepSeek-R1-Distill-Qwen-1.5B | 1.5 | rk3576 | w4a16 | - | -
Azurastar2903/Qwen2.5-0.5B-Instruct-rk3588-1.1.1 | Qwen2.5-0.5B-Instruct-rk3588-w8a8_g256-opt-1-hybrid-ratio-0.0.rkllm | Qwen2.5-0.5B-Instruct | 0.5 | rk3588 | w8a8_g256 | 1.1.1 | -
# other orders and separators
maker/Qwen3-4B-RK3576-W4A16-RKLLM-1.2.3 | Qwen3-4B-RK3576-W4A16-RKLLM-1.2.3.rkllm | Qwen3-4B | 4 | rk3576 | w4a16 | 1.2.3 | -
maker/rk3576-models | RK3576_W4A16_Qwen3-4B.rkllm | Qwen3-4B | 4 | rk3576 | w4a16 | - | -
maker/rk3576-models | rk3576.w4a16_g128.qwen3-1.7b.rkllm | Qwen3-1.7B | 1.7 | rk3576 | w4a16_g128 | - | -
maker/rk3576-models | w4a16-rk3576-Qwen2.5-1.5B-Instruct-v1.2.1.rkllm | Qwen2.5-1.5B-Instruct | 1.5 | rk3576 | w4a16 | 1.2.1 | -
maker/npu | rk3576_w4a16g128/Qwen2.5-3B-Instruct.rkllm | Qwen2.5-3B-Instruct | 3 | rk3576 | w4a16_g128 | - | -
maker/Qwen2.5-7B-Instruct-npu | RK3588-w8a8-g128/model.rkllm | Qwen2.5-7B-Instruct | 7 | rk3588 | w8a8_g128 | - | -
maker/llms | RK3576 W4A16/Qwen3 1.7B.rkllm | Qwen3-1.7B | 1.7 | rk3576 | w4a16 | - | -
maker/llms | Qwen3-1.7B (rk3576, w4a16).rkllm | Qwen3-1.7B | 1.7 | rk3576 | w4a16 | - | -
maker/llms | Qwen3-1.7B[RK3588][W8A8].rkllm | Qwen3-1.7B | 1.7 | rk3588 | w8a8 | - | -
maker/llms | qwen3-1.7b@rk3576@w4a16.rkllm | Qwen3-1.7B | 1.7 | rk3576 | w4a16 | - | -
maker/llms | qwen3-1.7b+rk3576+w4a16.rkllm | Qwen3-1.7B | 1.7 | rk3576 | w4a16 | - | -
maker/llms | Qwen3-1.7B-rk3576w4a16.rkllm | Qwen3-1.7B | 1.7 | rk3576 | w4a16 | - | -
maker/llms | Qwen3-1.7B-w8a8rk3588.rkllm | Qwen3-1.7B | 1.7 | rk3588 | w8a8 | - | -
maker/llms | Qwen3-1.7B_w4a16_rk3576_g128.rkllm | Qwen3-1.7B | 1.7 | rk3576 | w4a16_g128 | - | -
maker/llms | Qwen3-1.7B_W4A16_GROUP128_RK3576.rkllm | Qwen3-1.7B | 1.7 | rk3576 | w4a16_g128 | - | -
maker/llms | Qwen3-1.7B.W8A8.RK3588.RKLLM | Qwen3-1.7B | 1.7 | rk3588 | w8a8 | - | -
maker/llms | QWEN3-1.7B_RK3576_W8A8.rkllm | Qwen3-1.7B | 1.7 | rk3576 | w8a8 | - | -
maker/llms | qwen_3_1.7b_rk3576_w8a8.rkllm | Qwen3-1.7B | 1.7 | rk3576 | w8a8 | - | -
maker/llms | qwen2_5_1_5b_instruct_rk3576_w4a16.rkllm | Qwen2.5-1.5B-Instruct | 1.5 | rk3576 | w4a16 | - | -
maker/llms | Qwen2.5-0_5B-Instruct-rk3576-w4a16.rkllm | Qwen2.5-0.5B-Instruct | 0.5 | rk3576 | w4a16 | - | -
maker/llms | qwen25-1.5b-instruct-rk3588-w8a8.rkllm | Qwen2.5-1.5B-Instruct | 1.5 | rk3588 | w8a8 | - | -
maker/llms | llama3.2-1b-instruct-rk3576-w4a16.rkllm | Llama-3.2-1B-Instruct | 1 | rk3576 | w4a16 | - | -
maker/llms | Llama_3_2_3B_Instruct_rk3588_w8a8.rkllm | Llama-3.2-3B-Instruct | 3 | rk3588 | w8a8 | - | -
maker/llms | Meta-Llama-3.1-8B-Instruct-rk3588-w8a8.rkllm | Llama-3.1-8B-Instruct | 8 | rk3588 | w8a8 | - | -
maker/llms | meta-llama-3-8b-instruct-rk3588-w8a8.rkllm | Meta-Llama-3-8B-Instruct | 8 | rk3588 | w8a8 | - | -
maker/llms | google_gemma-3-4b-it_rk3576_w8a8.rkllm | gemma-3-4b-it | 4 | rk3576 | w8a8 | - | -
maker/llms | hf_Qwen2.5-1.5B-Instruct_rk3576_w4a16.rkllm | Qwen2.5-1.5B-Instruct | 1.5 | rk3576 | w4a16 | - | -
maker/llms | rkllm_qwen3-0.6b_rk3576_w4a16.rkllm | Qwen3-0.6B | 0.6 | rk3576 | w4a16 | - | -
maker/llms | Qwen_Qwen3-1.7B_rk3588_w8a8.rkllm | Qwen3-1.7B | 1.7 | rk3588 | w8a8 | - | -
maker/llms | Qwen-Qwen2.5-3B-Instruct-rk3588-w8a8.rkllm | Qwen2.5-3B-Instruct | 3 | rk3588 | w8a8 | - | -
maker/llms | models--Qwen--Qwen3-0.6B-rk3576-w4a16.rkllm | Qwen3-0.6B | 0.6 | rk3576 | w4a16 | - | -
maker/llms | unsloth-Qwen3-4B-Instruct-2507-rk3576-w4a16.rkllm | Qwen3-4B-Instruct-2507 | 4 | rk3576 | w4a16 | - | -
maker/llms | myboard-rk3576-Qwen3-4B-w4a16.rkllm | Qwen3-4B | 4 | rk3576 | w4a16 | - | -
maker/llms | orangepi5-qwen3-1.7b-w8a8.rkllm | Qwen3-1.7B | 1.7 | - | w8a8 | - | -
maker/llms | Qwen2.5-7B-Instruct-GPTQ-Int4-rk3588-w8a8.rkllm | Qwen2.5-7B-Instruct | 7 | rk3588 | w8a8 | - | -
maker/llms | Qwen2.5-1.5B-Instruct-AWQ-rk3576-w4a16.rkllm | Qwen2.5-1.5B-Instruct | 1.5 | rk3576 | w4a16 | - | -
maker/llms | Qwen3-0.6B-unsloth-bnb-4bit-rk3576-w4a16.rkllm | Qwen3-0.6B | 0.6 | rk3576 | w4a16 | - | -
maker/llms | Qwen3-0.6B-GGUF_F16-rk3576-w8a8.rkllm | Qwen3-0.6B | 0.6 | rk3576 | w8a8 | - | -
maker/llms | Qwen3-0.6B-fp16-rk3588.rkllm | Qwen3-0.6B | 0.6 | rk3588 | fp16 | - | -
maker/Llama-3.2-1B-rk3588-instruct | - | Llama-3.2-1B-Instruct | 1 | rk3588 | - | - | -
maker/Qwen2.5-3B-Instruct-rk3588-abliterated | Qwen2.5-3B-Instruct-rk3588-w8a8.rkllm | Qwen2.5-3B-Instruct-abliterated | 3 | rk3588 | w8a8 | - | -
maker/Qwen2.5-Coder-7B-Instruct-rk3588 | qwen2.5-7b-instruct-w8a8.rkllm | Qwen2.5-Coder-7B-Instruct | 7 | rk3588 | w8a8 | - | -
maker/Qwen3-4B-Thinking-2507-rk3576 | qwen3-4b-w4a16.rkllm | Qwen3-4B-Thinking-2507 | 4 | rk3576 | w4a16 | - | -
maker/DeepSeek-R1-Distill-Qwen-1.5B-rk3576 | qwen-1.5b-w4a16.rkllm | DeepSeek-R1-Distill-Qwen-1.5B | 1.5 | rk3576 | w4a16 | - | -
maker/Qwen2.5-1.5B-Instruct-rk3576 | qwen.rkllm | Qwen2.5-1.5B-Instruct | 1.5 | rk3576 | - | - | -
maker/Qwen2.5-1.5B-Instruct-rk3576 | language_model_w4a16.rkllm | Qwen2.5-1.5B-Instruct | 1.5 | rk3576 | w4a16 | - | -
maker/Qwen2.5-1.5B-Instruct-rk3576 | qwen2.5-1.5b.rkllm | Qwen2.5-1.5B-Instruct | 1.5 | rk3576 | - | - | -
maker/Qwen3-models-rk3576 | 0.6B/model_w4a16.rkllm | Qwen3 | - | rk3576 | w4a16 | - | -
maker/llms | qwen3-vl-2b-instruct_w8a8_rk3576.rkllm.part-00 | Qwen3-VL-2B-Instruct | 2 | rk3576 | w8a8 | - | -
# versions
maker/llms | Qwen3-0.6B-rk3576-w4a16-rkllm_1.2.1b1.rkllm | Qwen3-0.6B | 0.6 | rk3576 | w4a16 | 1.2.1b1 | -
maker/llms | Qwen3-0.6B-rk3576-w4a16-toolkit1.2.0.rkllm | Qwen3-0.6B | 0.6 | rk3576 | w4a16 | 1.2.0 | -
maker/llms | Qwen3-0.6B-rk3576-w4a16-toolkitv1.1.1.rkllm | Qwen3-0.6B | 0.6 | rk3576 | w4a16 | 1.1.1 | -
maker/llms | Qwen3-0.6B-rk3576-w4a16-rkllm-toolkit-v1.3.0.rkllm | Qwen3-0.6B | 0.6 | rk3576 | w4a16 | 1.3.0 | -
maker/llms | Qwen3-0.6B-rk3576-w4a16-RKLLM_Toolkit_1.3.1.rkllm | Qwen3-0.6B | 0.6 | rk3576 | w4a16 | 1.3.1 | -
maker/llms | Qwen3-0.6B-rk3576-w4a16-v1.2.3-beta.rkllm | Qwen3-0.6B | 0.6 | rk3576 | w4a16 | 1.2.3 | -
maker/llms | Qwen3-0.6B-rk3576-w4a16-v1_2_3.rkllm | Qwen3-0.6B | 0.6 | rk3576 | w4a16 | 1.2.3 | -
maker/llms | Qwen3-0.6B-rk3576-w4a16-rkllm_1_2_2.rkllm | Qwen3-0.6B | 0.6 | rk3576 | w4a16 | 1.2.2 | -
maker/llms | Qwen3-0.6B-rk3576-w4a16-v122.rkllm | Qwen3-0.6B | 0.6 | rk3576 | w4a16 | 1.2.2 | -
maker/llms | Qwen3-0.6B-rk3576-w4a16-v1.22.rkllm | Qwen3-0.6B | 0.6 | rk3576 | w4a16 | 1.2.2 | -
maker/llms | Qwen3-0.6B-rk3576-w4a16-rkllm123.rkllm | Qwen3-0.6B | 0.6 | rk3576 | w4a16 | 1.2.3 | -
maker/llms | Qwen3-0.6B-rk3576-w4a16-V1.1.4.rkllm | Qwen3-0.6B | 0.6 | rk3576 | w4a16 | 1.1.4 | -
maker/llms | Qwen3-0.6B-rk3576-w4a16-rknn-llm-1.2.0.rkllm | Qwen3-0.6B | 0.6 | rk3576 | w4a16 | 1.2.0 | -
maker/llms | Qwen3-0.6B-rk3576-w4a16-version-1.2.1.rkllm | Qwen3-0.6B | 0.6 | rk3576 | w4a16 | 1.2.1 | -
maker/llms | 1.2.1/Qwen3-0.6B-rk3576-w4a16.rkllm | Qwen3-0.6B | 0.6 | rk3576 | w4a16 | 1.2.1 | -
maker/llms | rkllm-1.2.3/rk3576/Qwen3-0.6B-w4a16.rkllm | Qwen3-0.6B | 0.6 | rk3576 | w4a16 | 1.2.3 | -
maker/llms | Qwen3-0.6B-rk3576-w4a16-rkllm1.2.1-runtime1.2.3.rkllm | Qwen3-0.6B | 0.6 | rk3576 | w4a16 | 1.2.1 | -
maker/Qwen3-0.6B-1.2.2 | Qwen3-0.6B-1.2.3.rkllm | Qwen3-0.6B | 0.6 | - | - | 1.2.3 | -
maker/llms | Qwen3-0.6B-4096-w8a8-rk3588-tk122.rkllm | Qwen3-0.6B | 0.6 | rk3588 | w8a8 | 1.2.2 | 4096
maker/llms | Qwen3-4B-2507-rk3588-w8a8.rkllm | Qwen3-4B-Instruct-2507 | 4 | rk3588 | w8a8 | - | -
maker/llms | qwen1_5-0_5b-chat_rk3588_w8a8.rkllm | Qwen1.5-0.5B-Chat | 0.5 | rk3588 | w8a8 | - | -
maker/llms | llava-v1.6-mistral-7b-rk3588-w8a8.rkllm | llava-v1.6-mistral-7b | 7 | rk3588 | w8a8 | - | -
# numbers that are no version
maker/llms | Qwen3-0.6B-rk3576-w4a16-runtime-v1.2.3.rkllm | Qwen3-0.6B | 0.6 | rk3576 | w4a16 | - | -
maker/llms | Qwen3-0.6B-rk3576-w4a16-librkllmrt-1.2.3.rkllm | Qwen3-0.6B | 0.6 | rk3576 | w4a16 | - | -
maker/llms | Qwen3-0.6B-rk3576-w4a16-transformers-4.46.0.rkllm | Qwen3-0.6B | 0.6 | rk3576 | w4a16 | - | -
maker/llms | Qwen3-0.6B-rk3576-w4a16-torch-1.12.0.rkllm | Qwen3-0.6B | 0.6 | rk3576 | w4a16 | - | -
maker/llms | Qwen3-0.6B-rk3576-w4a16-torch1.8.1.rkllm | Qwen3-0.6B | 0.6 | rk3576 | w4a16 | - | -
maker/llms | Qwen3-0.6B-rk3576-w4a16-rknn-toolkit2-1.6.0.rkllm | Qwen3-0.6B | 0.6 | rk3576 | w4a16 | - | -
maker/llms | Qwen3-0.6B-rk3576-w4a16-1.10.25.rkllm | Qwen3-0.6B | 0.6 | rk3576 | w4a16 | - | -
maker/llms | Qwen3-0.6B-rk3576-w4a16-1.2.25.rkllm | Qwen3-0.6B | 0.6 | rk3576 | w4a16 | - | -
maker/llms | Qwen3-0.6B-rk3576-w4a16-2025.1.2.rkllm | Qwen3-0.6B | 0.6 | rk3576 | w4a16 | - | -
maker/llms | Qwen3-0.6B-rk3576-w4a16-3.1.1.rkllm | Qwen3-0.6B | 0.6 | rk3576 | w4a16 | - | -
maker/llms | Qwen3-0.6B-rk3576-w4a16-v1.5.rkllm | Qwen3-0.6B | 0.6 | rk3576 | w4a16 | - | -
maker/llms | Qwen3-0.6B-rk3576-w4a16-v2.rkllm | Qwen3-0.6B | 0.6 | rk3576 | w4a16 | - | -
maker/llms | Qwen3-0.6B-rk3576-w4a16-driver-0.9.8.rkllm | Qwen3-0.6B | 0.6 | rk3576 | w4a16 | - | -
maker/llms | Qwen3-0.6B-rk3576-w4a16-20250812.rkllm | Qwen3-0.6B | 0.6 | rk3576 | w4a16 | - | -
maker/llms | Qwen3-0.6B-2025-08-12-rk3576-w4a16.rkllm | Qwen3-0.6B | 0.6 | rk3576 | w4a16 | - | -
maker/llms | Qwen3-0.6B-rk3576-w4a16-1.2.1-to-1.2.3.rkllm | Qwen3-0.6B | 0.6 | rk3576 | w4a16 | - | -
maker/llms | TinyDolphin-2.8.1-1.1b-rk3588-w8a8.rkllm | TinyDolphin-2.8.1-1.1b | 1.1 | rk3588 | w8a8 | - | -
maker/llms | Dolphin3.0-Qwen2.5-0.5B-rk3588-w8a8.rkllm | Dolphin3.0-Qwen2.5-0.5B | 0.5 | rk3588 | w8a8 | - | -
maker/llms | zephyr-7b-beta-rk3588-w8a8.rkllm | zephyr-7b-beta | 7 | rk3588 | w8a8 | - | -
# platforms that are none, or two
maker/Qwen3-0.6B-RK2588 | model.rkllm | Qwen3-0.6B | 0.6 | - | - | - | -
maker/Qwen3-4B-RK1828 | Qwen3-4B_w4a16.rkllm | Qwen3-4B | 4 | - | w4a16 | - | -
maker/llms | qwen3-4b-rk1828-rk3588-w4a16.rkllm | Qwen3-4B | 4 | - | w4a16 | - | -
maker/llms | qwen3-4b-rk3582-w8a8.rkllm | Qwen3-4B | 4 | - | w8a8 | - | -
maker/llms | qwen3-0.6b-rk3566-w8a8.rkllm | Qwen3-0.6B | 0.6 | - | w8a8 | - | -
maker/llms | qwen3-0.6b-rk3588-rk3576-w8a8.rkllm | Qwen3-0.6B | 0.6 | - | w8a8 | - | -
maker/Qwen3-0.6B-RK3576-RK3588 | RK3576/model.rkllm | Qwen3-0.6B | 0.6 | rk3576 | - | - | -
maker/llms | qwen3-0.6b-step-3588-w8a8.rkllm | Qwen3-0.6B | 0.6 | - | w8a8 | - | -
maker/llms | qwen3-0.6b-checkpoint-3576.rkllm | Qwen3-0.6B | 0.6 | - | - | - | -
maker/llms | qwen3-0.6b-1.3588-w8a8.rkllm | qwen3-0.6b-1.3588 | 0.6 | - | w8a8 | - | -
maker/llms | qwen3-0.6b-235881-w8a8.rkllm | qwen3-0.6b-235881 | 0.6 | - | w8a8 | - | -
maker/llms | qwen3-0.6b-3588x-w8a8.rkllm | qwen3-0.6b-3588x | 0.6 | - | w8a8 | - | -
maker/llms | qwen3-0.6b-rk3588s2-w8a8.rkllm | Qwen3-0.6B | 0.6 | rk3588 | w8a8 | - | -
maker/llms | qwen3-0.6b_RK3576J_w4a16.rkllm | Qwen3-0.6B | 0.6 | rk3576 | w4a16 | - | -
maker/llms | qwen3-0.6b-rk-3576-w4a16.rkllm | Qwen3-0.6B | 0.6 | rk3576 | w4a16 | - | -
maker/llms | qwen3-0.6b-w4a16-w8a8-rk3576.rkllm | Qwen3-0.6B | 0.6 | rk3576 | - | - | -
# context, cores
maker/llms | Qwen3-1.7B-rk3576-w4a16-ctx4096.rkllm | Qwen3-1.7B | 1.7 | rk3576 | w4a16 | - | 4096
maker/llms | Qwen3-1.7B-rk3576-w4a16-ctx16k.rkllm | Qwen3-1.7B | 1.7 | rk3576 | w4a16 | - | 16384
maker/llms | Qwen3-1.7B-rk3576-w4a16-4kctx.rkllm | Qwen3-1.7B | 1.7 | rk3576 | w4a16 | - | 4096
maker/llms | Qwen3-1.7B-rk3576-w4a16-max_context_8192.rkllm | Qwen3-1.7B | 1.7 | rk3576 | w4a16 | - | 8192
maker/llms | Qwen3-1.7B-16k-rk3576-w4a16.rkllm | Qwen3-1.7B | 1.7 | rk3576 | w4a16 | - | 16384
maker/llms | Qwen3-1.7B_4096_rk3576_w4a16.rkllm | Qwen3-1.7B | 1.7 | rk3576 | w4a16 | - | 4096
maker/llms | Qwen3-1.7B-rk3576-w4a16-32k.rkllm | Qwen3-1.7B | 1.7 | rk3576 | w4a16 | - | -
maker/llms | Qwen3-1.7B-rk3576-w4a16-c4096.rkllm | Qwen3-1.7B | 1.7 | rk3576 | w4a16 | - | 4096
# uploaders writing Chinese
用户/通义千问 | qwen2.5-1.5b-instruct_瑞芯微rk3576_w4a16.rkllm | Qwen2.5-1.5B-Instruct | 1.5 | rk3576 | w4a16 | - | -
zhang/rk3576大模型 | 模型/Qwen3-0.6B-量化w4a16.rkllm | Qwen3-0.6B | 0.6 | rk3576 | w4a16 | - | -
zhang/deepseek-r1-1.5b-rk3588 | DeepSeek-R1-1.5B（w8a8）.rkllm | DeepSeek-R1-Distill-Qwen-1.5B | 1.5 | rk3588 | w8a8 | - | -
# families
maker/llms | Ministral-3-3B-Instruct-2512-rk3588-w8a8.rkllm | Ministral-3-3B-Instruct-2512 | 3 | rk3588 | w8a8 | - | -
maker/llms | Falcon3-1B-Instruct_W4A16_RK3576.rkllm | Falcon3-1B-Instruct | 1 | rk3576 | w4a16 | - | -
maker/llms | falcon-h1-0.5b-instruct-rk3588-w8a8.rkllm | Falcon-H1-0.5B-Instruct | 0.5 | rk3588 | w8a8 | - | -
maker/llms | granite-4.0-h-1b-rk3588-w8a8.rkllm | granite-4.0-h-1b | 1 | rk3588 | w8a8 | - | -
maker/llms | Hunyuan-1.8B-Instruct-rk3576-w4a16.rkllm | Hunyuan-1.8B-Instruct | 1.8 | rk3576 | w4a16 | - | -
maker/llms | OLMo-2-0425-1B-Instruct-rk3588-w8a8.rkllm | OLMo-2-0425-1B-Instruct | 1 | rk3588 | w8a8 | - | -
maker/llms | EXAONE-3.5-2.4B-Instruct-rk3588-w8a8.rkllm | EXAONE-3.5-2.4B-Instruct | 2.4 | rk3588 | w8a8 | - | -
maker/llms | stablelm-2-zephyr-1_6b-rk3588-w8a8.rkllm | stablelm-2-zephyr-1_6b | 1.6 | rk3588 | w8a8 | - | -
maker/llms | starcoder2-3b-rk3588-w8a8.rkllm | starcoder2-3b | 3 | rk3588 | w8a8 | - | -
maker/llms | Hermes-3-Llama-3.2-3B-rk3588-w8a8.rkllm | Hermes-3-Llama-3.2-3B | 3 | rk3588 | w8a8 | - | -
maker/llms | Nanbeige4.1-3B-rk3576-w4a16.rkllm | Nanbeige4.1-3B | 3 | rk3576 | w4a16 | - | -
maker/llms | Youtu-LLM-2B-rk3576-w4a16.rkllm | Youtu-LLM-2B | 2 | rk3576 | w4a16 | - | -
maker/llms | bitnet-b1.58-2B-4T-rk3588-w8a8.rkllm | bitnet-b1.58-2B-4T | 2 | rk3588 | w8a8 | - | -
maker/llms | Janus-Pro-1B-rk3588-w8a8.rkllm | Janus-Pro-1B | 1 | rk3588 | w8a8 | - | -
maker/llms | LFM2-1.2B-rk3588-w8a8.rkllm | LFM2-1.2B | 1.2 | rk3588 | w8a8 | - | -
maker/llms | LFM2-VL-450M-rk3588-w8a8.rkllm | LFM2-VL-450M | 0.45 | rk3588 | w8a8 | - | -
maker/llms | Megrez-3B-Instruct-rk3588-w8a8.rkllm | Megrez-3B-Instruct | 2.9 | rk3588 | w8a8 | - | -
maker/llms | Index-1.9B-Chat-rk3588-w8a8.rkllm | Index-1.9B-Chat | 1.9 | rk3588 | w8a8 | - | -
maker/llms | llm-jp-3-1.8b-instruct-rk3588-w8a8.rkllm | llm-jp-3-1.8b-instruct | 1.8 | rk3588 | w8a8 | - | -
maker/llms | glm-edge-1.5b-chat-rk3588-w8a8.rkllm | glm-edge-1.5b-chat | 1.5 | rk3588 | w8a8 | - | -
maker/llms | Baichuan2-7B-Chat-rk3588-w8a8.rkllm | Baichuan2-7B-Chat | 7 | rk3588 | w8a8 | - | -
maker/llms | ERNIE-4.5-0.3B-PT-rk3576-w4a16.rkllm | ERNIE-4.5-0.3B-PT | 0.3 | rk3576 | w4a16 | - | -
maker/llms | Qwen3-VL-Embedding-2B-rk3588-w8a8.rkllm | Qwen3-VL-Embedding-2B | 2 | rk3588 | w8a8 | - | -
maker/llms | Qwen3Guard-Gen-0.6B-rk3588-w8a8.rkllm | Qwen3Guard-Gen-0.6B | 0.6 | rk3588 | w8a8 | - | -
maker/llms | Qwen1.5-MoE-A2.7B-Chat-rk3588-w8a8.rkllm | Qwen1.5-MoE-A2.7B-Chat | - | rk3588 | w8a8 | - | -
maker/llms | Huihui-Qwen3-4B-abliterated-v2-rk3588-w8a8.rkllm | Huihui-Qwen3-4B-abliterated-v2 | 4 | rk3588 | w8a8 | - | -
maker/llms | DeepScaleR-1.5B-Preview-rk3588-w8a8.rkllm | DeepScaleR-1.5B-Preview | 1.5 | rk3588 | w8a8 | - | -
maker/llms | T-lite-it-2.1-rk3576-w4a16.rkllm | T-lite-it-2.1 | - | rk3576 | w4a16 | - | -
maker/llms | decoder_qwen3.w4a16.rk3576.rkllm | - | - | rk3576 | w4a16 | - | -
maker/llms | model.rkllm | - | - | - | - | - | -
"""  # noqa: E501, RUF001


def _rows() -> list[list[str | None]]:
    lines = [line for line in TABLE.splitlines() if line and not line.startswith("#")]
    return [[None if cell == "-" else cell for cell in line.split(" | ")] for line in lines]


def _told(found: Guess) -> list[str | None]:
    values = [found.model, found.params_b, found.platform, found.quant, found.toolkit]
    texts = [*values[:1], *(v and getattr(v, "value", v) for v in values[1:]), found.context]
    return [f"{v:g}" if isinstance(v, float) else str(v) if v else None for v in texts]


def test_the_table_is_a_fair_sample() -> None:
    assert len(_rows()) > 240
    assert all(len(row) == 8 for row in _rows())


@pytest.mark.parametrize("row", _rows(), ids=lambda row: f"{row[0]}:{row[1]}")
def test_names_of_uploads(row: list[str | None]) -> None:
    assert _told(guess(row[0] or "", row[1] or "")) == row[2:]


def name(stem: str, repo: str = "") -> Guess:
    return guess(repo, f"{stem}.rkllm")


# --- spellings of one version --------------------------------------------------------------------


@pytest.mark.parametrize(
    ("spelling", "version"),
    [
        ("1.1.4", "1.1.4"),
        ("v1.1.0", "1.1.0"),
        ("v1.2.3-RKLLM", "1.2.3"),
        ("RKLLM1.1.4", "1.1.4"),
        ("rkllm-1.1.4", "1.1.4"),
        ("RKLLM-v1.2.3", "1.2.3"),
        ("v122", "1.2.2"),
        ("v123", "1.2.3"),
        ("v1.22", "1.2.2"),
        ("1.2.1b1", "1.2.1b1"),
        ("toolkitv1.1.1", "1.1.1"),
        ("toolkit-1.3.1", "1.3.1"),
        ("rkllm_toolkit_v1_3_0", "1.3.0"),
        ("tk1.2.0", "1.2.0"),
        ("v.1.0.1", "1.0.1"),
    ],
)
def test_spellings_of_a_version(spelling: str, version: str) -> None:
    for separator in "-_.":
        assert str(name(f"Qwen3-4B-rk3576{separator}{spelling}").toolkit) == version


@pytest.mark.parametrize(
    "other",
    [
        *(
            "runtime-v1.2.3",
            "runtime v.1.0.1",
            "rkllm-runtime-1.2.1",
            "librkllmrt_1.2.3",
            "1.2.3-rt",
        ),
        *("transformers-4.46.0", "torch-1.12.0", "torch1.8.1", "onnx-1.7.0", "python3.10"),
        *("rknn-toolkit2-1.6.0", "rknpu-1.3.1", "driver-1.3.2", "ubuntu-22.04.1"),
        *("1.10.25", "1.2.25", "2025.1.2", "2.1.2.3", "1.2.3.4", "11.2.3", "1.2.31", "3.1.1"),
        *("v1.5", "v1.0", "v2", "v15", "v12345", "2507", "0528", "V1.5", "1.5", "0.5"),
    ],
)
def test_numbers_that_are_no_toolkit(other: str) -> None:
    assert name(f"Qwen3-4B-rk3576-w4a16-{other}").toolkit is None
    assert guess(f"a/Qwen3-4B-rk3576-{other}", "model.rkllm").toolkit is None


@pytest.mark.parametrize(
    "model",
    [
        *("TinyLlama-1.1B-Chat-v1.0", "deepseek-coder-7b-instruct-v1.5", "DeepSeek-Prover-V1.5-RL"),
        *("cogito-v1-preview-qwen-14B", "granite-4.2-3b", "InternVL3_5-1B", "MiniCPM-V-2_6"),
        *("Qwen3-4B-Instruct-2507", "DeepSeek-R1-0528-Qwen3-8B", "internlm2_5-7b-chat-1m"),
        *("Qwen2.5-14B-Instruct-1M", "Phi-3-mini-4k-instruct", "T-lite-it-2.1"),
    ],
)
def test_numbers_that_belong_to_the_model(model: str) -> None:
    for text in (f"{model}-rk3588-w8a8-opt-0-hybrid-ratio-0.0", f"{model}_W8A8_RK3588", model):
        found = name(text)
        assert (found.model, found.toolkit, found.context) == (model, None, None)
    found = guess(f"c01zaut/{model}-rk3588-1.1.4", "")
    assert (found.model, str(found.toolkit), found.context) == (model, "1.1.4", None)


def test_two_versions_are_none() -> None:
    assert name("Qwen3-4B-rk3576-v1.2.1-v1.2.3").toolkit is None


def test_a_version_twice_is_one() -> None:
    assert str(name("Qwen3-4B-v1.2.3-rk3576-rkllm1.2.3").toolkit) == "1.2.3"


# --- other tokens --------------------------------------------------------------------------------


@pytest.mark.parametrize("spelling", ["opt-1", "opt1", "o1", "opt_1", "opt-level-1", "optlevel1"])
def test_the_optimisation_level(spelling: str) -> None:
    assert name(f"Qwen3-4B-rk3588-w8a8-{spelling}").opt_level == 1


@pytest.mark.parametrize(
    ("spelling", "ratio"),
    [
        *(("hybrid-ratio-0.5", 0.5), ("hybrid_ratio_0.5", 0.5), ("hybrid1", 1), ("h0.25", 0.25)),
        *(("hybrid-ratio-0.0", 0), ("hybrid-rate-1.0", 1), ("hybrid0.5", 0.5)),
    ],
)
def test_the_hybrid_ratio(spelling: str, ratio: float) -> None:
    found = name(f"gemma3_4b_w8a8_rk3588_{spelling}")
    assert (found.hybrid_ratio, found.model, found.toolkit) == (ratio, "gemma-3-4b-it", None)


@pytest.mark.parametrize(
    "spelling", ["npu2", "2npu", "2-npu", "npu-2", "npu_core_2", "2cores", "npu_core_num_2"]
)
def test_the_cores(spelling: str) -> None:
    assert name(f"Qwen3-4B-rk3576-w4a16-{spelling}").npu_cores == 2


def test_a_folder_of_model_quant_cores_and_context() -> None:
    found = guess("RKNNAI/RK3576-LLM-Qwen3-0.6B", "Qwen3-0.6B-w4a16_g128-2-1024/x.rkllm")
    assert (str(found.quant), found.npu_cores, found.context) == ("w4a16_g128", 2, 1024)


@pytest.mark.parametrize("word", ["LEVEL1", "level0", "grq", "normal", "perChannel", "hybrid"])
def test_words_that_say_nothing_of_the_model(word: str) -> None:
    found = name(f"Qwen3-0.6B-rk3576-w8a8-{word}")
    assert (found.model, str(found.quant), found.opt_level) == ("Qwen3-0.6B", "w8a8", None)


@pytest.mark.parametrize(
    "words", ["unsloth", "GGUF_F16", "16bit", "GPTQ-Int4", "AWQ", "bnb-4bit", "unsloth-bnb-4bit"]
)
def test_words_for_the_source_weights(words: str) -> None:
    assert name(f"Qwen3-0.6B-{words}-rk3576-w8a8").model == "Qwen3-0.6B"


@pytest.mark.parametrize("word", ["abliterated", "uncensored", "Medical", "heretic", "sft"])
def test_a_fine_tune_is_not_the_model_it_came_from(word: str) -> None:
    assert name(f"Qwen2.5-3B-{word}-rk3588").model == f"Qwen2.5-3B-{word}"
    found = guess(f"a/Qwen2.5-3B-{word}-rkllm", "Qwen2.5-3B-rk3588-w8a8.rkllm")
    assert found.model == f"Qwen2.5-3B-{word}"


# --- sizes ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "params"),
    [
        *(("gemma-4-E2B-it", None), ("gemma-3n-E4B-it", None), ("SmolVLM-256M-Instruct", 0.256)),
        *(("smolvlm2_500m", 0.5), ("Qwen1.5-1_8B", 1.8), ("qwen2-1_5B", 1.5), ("foo-0_5b", 0.5)),
        *(("LFM2-1.2B", 1.2), ("qwen2-1.2", None), ("Foo-70M", 0.07), ("foo-1m", None)),
        *(("Qwen3-30B-A3B", 30), ("Qwen1.5-MoE-A2.7B", None), ("Mixtral-8x7B", None)),
        *(("phi-2", 2.7), ("Phi-3.5-mini-instruct", 3.8), ("Osmosis-Structure-0.6", 0.6)),
    ],
)
def test_sizes(text: str, params: float | None) -> None:
    assert name(f"{text}-rk3588-w8a8-1.2.0").params_b == params


def test_the_file_decides_where_the_repository_says_another_size() -> None:
    found = guess("Pelochus/qwen2-1_5B-rk3588", "qwen2-1.8B-rk3588.rkllm")
    assert (found.params_b, found.platform and found.platform.value) == (1.8, "rk3588")


# --- platforms -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "board", ["RK3588S", "rk3588s", "RK3588S2", "RK3588J", "rk3588m", "RK3588"]
)
def test_variants_of_a_platform(board: str) -> None:
    assert name(f"Qwen3-4B-{board}-w8a8").platform == "rk3588"


@pytest.mark.parametrize(
    "other",
    ["RK2588", "RK1828", "rk3582", "rk3566", "RK3399", "RV1103", "RK3688", "rv1126", "rk182x"],
)
def test_other_socs_are_not_repaired(other: str) -> None:
    assert guess(f"StationPC/Qwen3.5-0.8B-RKLLM-{other}", "").platform is None
    assert name(f"Qwen3.5-0.8B-{other}-w8a8").platform is None


@pytest.mark.parametrize(
    "number",
    [
        "235881",
        "13588",
        "35881",
        "1.3588",
        "3588.1",
        "step-3588",
        "checkpoint-3576",
        "seed3576",
        "x3588",
    ],
)
def test_a_platform_inside_other_numbers(number: str) -> None:
    assert name(f"Qwen3-0.6B-{number}").platform is None


def test_two_platforms_are_none() -> None:
    assert name("Qwen3-0.6B-RK3576-RK3588-w8a8").platform is None
    assert name("Qwen3-0.6B-rk3588-rk1828-w8a8").platform is None
    assert guess("a/Qwen3-0.6B-RK3576-RK3588", "").platform is None


def test_a_bare_number_is_a_platform() -> None:
    assert guess("JiahaoLi/InternVL3-3576", "").platform == "rk3576"


# --- sources that disagree -----------------------------------------------------------------------


def test_the_file_decides_and_both_are_kept() -> None:
    found = guess("a/Qwen3-4B-rk3588-1.2.1", "Qwen3-4B_w8a8_RK3576_v1.2.3.rkllm")
    assert (found.platform, str(found.toolkit)) == ("rk3576", "1.2.3")
    said = {(e.attribute, e.value, e.origin) for e in found.evidence}
    assert {
        ("platform", "rk3576", Origin.FILE_NAME),
        ("platform", "rk3588", Origin.REPO_NAME),
        ("toolkit", "1.2.3", Origin.FILE_NAME),
        ("toolkit", "1.2.1", Origin.REPO_NAME),
    } <= said


def test_two_platforms_in_the_tags_are_none() -> None:
    card = CardFacts(tags=("rk3576", "rk3588", "rkllm"))
    assert guess("a/Qwen3-4B", "Qwen3-4B.rkllm", card=card).platform is None
    assert guess("a/x", "m.rkllm", card=CardFacts(tags=("RK3576",))).platform == "rk3576"


def test_a_card_names_the_base_model() -> None:
    card = CardFacts(base_model="Qwen/Qwen2.5-1.5B-Instruct")
    found = guess("a/my-rkllm", "model.rkllm", card=card)
    assert (found.model, found.params_b) == ("Qwen2.5-1.5B-Instruct", 1.5)


def test_the_zoo_names_the_toolkit_in_a_folder() -> None:
    repo = "rkllm_model_zoo/1.1.4/RK3588/Qwen2-VL-2B_Demo"
    found = guess(repo, "Qwen2-VL-2B_llm_w8a8_rk3588.rkllm", source="modelzoo")
    assert (found.model, str(found.toolkit)) == ("Qwen2-VL-2B-Instruct", "1.1.4")


# --- companions, parts, paths --------------------------------------------------------------------


@pytest.mark.parametrize(
    ("stem", "role"),
    [
        *(("qwen0.5b_fp16_lora", "lora"), ("qwen3-0.6b-lora-rk3576-w8a8", "lora")),
        *(("Qwen3-0.6B-lora-merged-rk3576", "llm"), ("Qwen3-Embedding-0.6B-rk3588", "embedding")),
        *(("embedding_gemma_rk3576_w8a8", "embedding"), ("Qwen3-Reranker-0.6B", "reranker")),
        *(
            ("decoder_qwen3.w4a16.rk3576", "speech"),
            ("decoder_hf.w4a16.rk3576", "speech"),
            ("talker_fixed_w4a16_rk3576", "speech"),
        ),
        *(("Qwen3-ASR-0.6B-rk3576", "speech"), ("qwen3-vl-2b_vision_encoder", "vision")),
        *(("Qwen3-0.6B-rk3576", "llm"), ("gte_Qwen2-1.5B", "embedding")),
    ],
)
def test_what_a_file_is_for(stem: str, role: str) -> None:
    assert name(stem).role == role


@pytest.mark.parametrize(
    "stem", ["Qwen3-VL-2B_rk3576", "InternVL3-1B", "SmolVLM-256M", "MiniCPM-V-4"]
)
def test_multimodal_models(stem: str) -> None:
    assert name(stem).multimodal


@pytest.mark.parametrize(
    "generic", ["model", "qwen", "language_model_w8a8", "MODEL", "llm", "output"]
)
def test_a_generic_file_is_named_by_its_repository(generic: str) -> None:
    assert (
        guess("a/Qwen2.5-1.5B-Instruct-rkllm", f"{generic}.rkllm").model == "Qwen2.5-1.5B-Instruct"
    )


def test_a_description_is_no_model() -> None:
    found = guess("pan.baidu.com (100ask DshanPI-A1)", "model.rkllm", source="other")
    assert (found.model, found.platform) == (None, None)


def test_an_encoded_path_is_read_like_a_plain_one() -> None:
    plain = guess("a/Qwen3-4B-RKLLM", "RK3576/Qwen3-4B_w4a16.rkllm")
    encoded = guess("a/Qwen3-4B-RKLLM", "RK3576%2FQwen3-4B_w4a16.rkllm")
    assert _told(plain) == _told(encoded)


# --- in general ----------------------------------------------------------------------------------

_PIECES = st.sampled_from(
    [
        "Qwen2.5",
        "gemma-3",
        "1.5B",
        "rk3576",
        "RK3588",
        "w4a16",
        "g128",
        "1.2.3",
        "v",
        "-",
        "_",
        ".",
        "/",
    ]
)


@given(st.text(max_size=80), st.text(max_size=200) | st.lists(_PIECES, max_size=40).map("".join))
def test_any_text_is_read(repo: str, path: str) -> None:
    found = guess(repo, path, card=CardFacts(base_model=repo, tags=(path,)))
    assert found.params_b is None or found.params_b >= 0


@pytest.mark.parametrize(
    "path",
    [
        *("a-" * 2000, "1." * 2000, "w8a8-" * 800, "rk3576" * 660, "qwen2.5-" * 500, "1_" * 2000),
        *("a/" * 2000, "rkllm-toolkit-" * 280, "hybrid-ratio-" * 300, "x" * 4000, " " * 4000),
        *("-" * 4000, "(" * 4000, "deepseek-r1-" * 330, "%2F" * 1300, "模型" * 2000),
    ],
    ids=lambda path: path[:12],
)
def test_long_names_are_quick(path: str) -> None:
    """What takes 50 ms where finding a few thousand words takes half a one is more than linear."""
    guess("warm/up-rk3576", "Qwen3-4B.rkllm")
    best = usual = 1.0
    for attempt in range(3):
        name = f"{attempt}{path}"
        start = time.thread_time()
        guess(name, name, card=CardFacts(base_model=name))
        best = min(best, time.thread_time() - start)
        start = time.thread_time()
        re.findall(r"[a-z]+|\d+", f"{attempt}qwen2.5-1.5b " * 400)
        usual = min(usual, time.thread_time() - start)
    assert best < 100 * usual


def _benchmark() -> Any:
    path = Path(__file__).parents[2] / "benchmarks" / "naming_accuracy.py"
    spec = importlib.util.spec_from_file_location("naming_accuracy", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # dataclasses look their module up
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize(
    ("attribute", "goal"),
    [("platform", 0.99), ("quant", 0.99), ("toolkit", 0.98), ("model", 0.97), ("params_b", 0.97)],
)
def test_accuracy_over_the_observed_uploads(attribute: str, goal: float) -> None:
    benchmark = _benchmark()
    score = benchmark.measure(benchmark.packaged_rows())[attribute]
    assert score.total > 90
    assert score.share >= goal, score.misses


@pytest.mark.parametrize("attribute", ["platform", "toolkit", "quant"])
def test_no_value_contradicts_an_observed_upload(attribute: str) -> None:
    benchmark = _benchmark()
    assert benchmark.measure(benchmark.packaged_rows())[attribute].contradicted == []
