"""Whatever is converted, our own parser reads back from the names what went in."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rkfetch.catalog.database import Catalog
from rkfetch.catalog.files import SNAPSHOT
from rkfetch.catalog.models import hub_id
from rkfetch.catalog.naming import guess
from rkfetch.registry.convert.convention import file_name, repository_name
from rkfetch.registry.convert.toolkits import TOOLKITS
from rkfetch.registry.model import Platform, Quant
from rkfetch.registry.versions import Version


def _known_models() -> list[str]:
    """Return all models of the shipped catalog, as their makers spell them, and Marco-o1."""
    with Catalog.open(SNAPSHOT) as catalog:
        found = {a.model for a in catalog.everything()}
    ids = {hub_id(name) for name in found if name} | {hub_id("Marco-o1")}
    return sorted(name.partition("/")[2] for name in ids if name)


MODELS = _known_models()
QUANTS = [
    *(Quant(4, 16, group) for group in (0, 32, 64, 128)),
    *(Quant(8, 8, group) for group in (0, 128, 256, 512)),
]
CONTEXTS = [None, 512, 1024, 2048, 4096, 8192, 12288, 16384]


def test_there_are_many_models() -> None:
    assert len(MODELS) > 80


@given(
    st.sampled_from(MODELS),
    st.sampled_from(list(Platform)),
    st.sampled_from(QUANTS),
    st.sampled_from([toolkit.version for toolkit in TOOLKITS]),
    st.sampled_from(CONTEXTS),
)
def test_a_name_is_read_back(
    model: str, platform: Platform, quant: Quant, toolkit: Version, context: int | None
) -> None:
    found = guess("", file_name(model, platform, quant, toolkit, context))
    assert (found.model, found.platform, found.quant) == (model, platform, quant)
    assert (found.toolkit, found.context) == (toolkit, context)
    assert (found.npu_cores, found.opt_level, found.role) == (
        None,
        None,
        guess("", f"{model}.rkllm").role,
    )
    found = guess(f"me/{repository_name(model, platform, quant, toolkit)}", "")
    assert (found.model, found.platform, found.quant) == (model, platform, quant)
    assert (found.toolkit, found.context) == (toolkit, None)


@pytest.mark.parametrize("model", MODELS)
def test_every_model_is_read_back(model: str) -> None:
    platform, quant, toolkit = Platform.RK3576, Quant(4, 16), Version("1.2.3")
    assert guess("", file_name(model, platform, quant, toolkit, 4096)).model == model
    repo = f"me/{repository_name(model, platform, quant, toolkit)}"
    assert guess(repo, "").model == model


def test_the_form() -> None:
    what = ("Qwen2.5-1.5B-Instruct", Platform.RK3576, Quant(4, 16), Version("1.2.3"))
    assert repository_name(*what) == "Qwen2.5-1.5B-Instruct-rk3576-w4a16-v1.2.3-RKLLM"
    assert file_name(*what, 4096) == "Qwen2.5-1.5B-Instruct-rk3576-w4a16-ctx4096-v1.2.3.rkllm"


@given(st.text(max_size=300))
def test_any_name_becomes_one_that_the_hub_takes(model: str) -> None:
    from huggingface_hub.utils._validators import validate_repo_id

    what = (model, Platform.RV1126B, Quant(4, 16, 128), Version("1.2.1b1"))
    validate_repo_id(f"me/{repository_name(*what)}")
    name = file_name(*what, 16384)
    assert "/" not in name
    assert len(name.encode()) <= 140
    assert name.isascii()
