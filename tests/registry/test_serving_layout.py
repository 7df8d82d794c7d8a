"""What each server wants of a model: names, folders, and the text of a Modelfile."""

from __future__ import annotations

import shlex
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rkfetch.registry.record import safe_file_name
from rkfetch.registry.serving import demo, orkllm, rkllama
from rkfetch.registry.serving.served import Served, is_name
from rkfetch.registry.serving.vision import family_of, picture_of
from rkfetch.registry.store import Store
from rkfetch.registry.versions import Version
from stored import add

if TYPE_CHECKING:
    from pathlib import Path

FILE = "Qwen2.5-1.5B-Instruct_RK3576_w4a16.rkllm"


def served(**values: Any) -> Served:
    return Served(
        **{
            "file_name": FILE,
            "model": "Qwen/Qwen2.5-1.5B-Instruct",
            "source": "huggingface",
            "repo": "HanzoHuang/Qwen2.5-1.5B-Instruct-RKLLM",
            "platform": "rk3576",
            "toolkit": "1.2.3",
            "limit": 4096,
            **values,
        }
    )


VISION: dict[str, Any] = {
    "model": "Qwen/Qwen2-VL-2B-Instruct",
    "file_name": "qwen2-vl-2b_w8a8_rk3588.rkllm",
    "platform": "rk3588",
    "encoder": "qwen2-vl-2b_vision_rk3588.rknn",
}


class TestServed:
    def test_it_is_read_from_the_record(self, tmp_path: Path) -> None:
        store = Store(tmp_path)
        attributes = {
            "toolkit": {"value": "1.2.3", "origin": "header"},
            "platform": {"value": "rk3576", "origin": "header"},
            "context": {"value": "8192", "origin": "header"},
        }
        model = add(store, model="Qwen/Qwen2-VL-2B-Instruct", attributes=attributes)
        encoder = add(store, b"RKNN", path="vision/encoder_rk3576.rknn")
        found = Served.of(model, [encoder], asked_context=5000)
        assert (found.toolkit, found.platform, found.limit) == ("1.2.3", "rk3576", 8192)
        assert (found.file_name, found.encoder) == ("x.rkllm", "encoder_rk3576.rknn")
        assert found.name == "qwen2-vl-2b-instruct"

    @pytest.mark.parametrize(
        ("limit", "asked", "context"),
        [
            (16384, None, 16384),
            (16384, 8192, 8192),
            (16384, 5000, 5024),  # the next multiple of 32
            (4096, 4090, 4096),
            (None, None, 4096),  # of a file that old, the limit is that
            (2048, None, 2048),
        ],
    )
    def test_the_context_is_the_files_or_what_was_asked_of_it(
        self, limit: int | None, asked: int | None, context: int
    ) -> None:
        found = served(limit=limit, asked_context=asked)
        assert found.context == context
        assert found.answer_tokens == context // 2

    @pytest.mark.parametrize("text", ["a", "qwen2.5:1.5b", "Q-1_b+x"])
    def test_names_that_servers_take(self, text: str) -> None:
        assert is_name(text)

    @pytest.mark.parametrize("text", ["", ".", "..", "a/b", "a..b", "-x", "a b", "a'b", "ä", "a\n"])
    def test_names_that_could_be_anything_else(self, text: str) -> None:
        assert not is_name(text)

    @given(st.text(max_size=200), st.text(max_size=60))
    def test_whatever_it_is_called_there_is_a_name(self, model: str, file: str) -> None:
        assert is_name(served(model=model or None, file_name=safe_file_name(file)).name)


class TestRkllama:
    def test_a_folder_with_the_model_and_a_modelfile(self) -> None:
        layout = rkllama.layout(served())
        assert (layout.name, layout.folder) == ("qwen2.5-1.5b-instruct",) * 2
        assert (layout.model_file, layout.encoder_file, layout.notes) == (FILE, None, ())
        assert layout.next_step == "rkllama_client run qwen2.5-1.5b-instruct"
        assert rkllama.modelfile(dict(layout.settings)) == (
            f'FROM="{FILE}"\n'
            'HUGGINGFACE_PATH="Qwen/Qwen2.5-1.5B-Instruct"\n'
            "NUM_CTX=4096\n"
            "MAX_NEW_TOKENS=2048\n"
        )

    def test_endings_are_written_as_it_looks_for_them(self) -> None:
        layout = rkllama.layout(served(**{**VISION, "file_name": "A.RKLLM", "encoder": "B.RKNN"}))
        assert (layout.model_file, layout.encoder_file) == ("A.rkllm", "B.rknn")
        assert orkllm.layout(served(file_name="A.RKLLM", toolkit=None)).model_file == "A.rkllm"

    def test_a_name_of_the_users(self) -> None:
        assert rkllama.layout(served(), "qwen:1.5b").folder == "qwen:1.5b"

    @pytest.mark.parametrize(
        ("said", "repo", "words"),
        [
            ({"model": "my-model"}, "HanzoHuang/Qwen2.5-1.5B-Instruct-RKLLM", "may have none"),
            ({"model": None, "source": "local", "repo": "/srv"}, "", "loads nothing without"),
            ({"model": 'a"/b', "source": "local"}, "", "loads nothing without"),
        ],
    )
    def test_where_the_tokenizer_is_not_surely_known_that_is_said(
        self, said: dict[str, Any], repo: str, words: str
    ) -> None:
        layout = rkllama.layout(served(**said))
        assert dict(layout.settings)["HUGGINGFACE_PATH"] == repo
        assert words in layout.notes[0]

    def test_a_chip_that_it_does_not_start_on_is_said(self) -> None:
        assert "rk3562" in rkllama.layout(served(platform="rk3562")).notes[0]

    def test_a_vision_model_has_its_encoder_and_the_lines_for_it(self) -> None:
        layout = rkllama.layout(served(**VISION))
        assert layout.encoder_file == VISION["encoder"]
        text = rkllama.modelfile(dict(layout.settings))
        assert text.endswith(
            "IMAGE_WIDTH=392\nIMAGE_HEIGHT=392\nN_IMAGE_TOKENS=196\n"
            "IMG_START=<|vision_start|>\nIMG_END=<|vision_end|>\nIMG_CONTENT=<|image_pad|>\n"
        )
        assert "392 x 392" in layout.notes[0]

    def test_the_size_in_an_encoders_name_counts(self) -> None:
        layout = rkllama.layout(served(**{**VISION, "encoder": "vision_672x448_rk3588.rknn"}))
        assert dict(layout.settings)["N_IMAGE_TOKENS"] == str(24 * 16)
        assert layout.notes == ()

    def test_an_unknown_family_is_not_guessed(self) -> None:
        layout = rkllama.layout(served(**{**VISION, "model": "Org/Novel-VL-2B"}))
        assert not any(key.startswith("IM") for key, _ in layout.settings)
        assert "IMAGE_WIDTH" in layout.notes[0]


SETTINGS = dict(rkllama.layout(served()).settings)


class TestModelfile:
    def test_what_is_written_does_not_differ(self) -> None:
        assert rkllama.differences(rkllama.modelfile(SETTINGS), SETTINGS) == []

    def test_how_rkllama_itself_quotes_makes_no_difference(self) -> None:
        text = rkllama.modelfile(SETTINGS).replace('"', "'").replace("\n", "\n\n")
        assert rkllama.differences(text, SETTINGS) == []

    def test_what_the_user_changed_is_named(self) -> None:
        text = f'FROM="{FILE}"\nHUGGINGFACE_PATH="me/tokenizer"\nNUM_CTX=2048\nTEMPERATURE=0.2\n'
        assert rkllama.differences(text, SETTINGS) == [
            "HUGGINGFACE_PATH=me/tokenizer (not Qwen/Qwen2.5-1.5B-Instruct)",
            "NUM_CTX=2048 (not 4096)",
            "no MAX_NEW_TOKENS (which would be 2048)",
        ]

    def test_only_our_keys_are_corrected(self) -> None:
        text = '# mine\nFROM="old.rkllm"\nTEMPERATURE=0.2\nFROM="older.rkllm"\nSYSTEM="Be brief."\n'
        assert rkllama.corrected(text, SETTINGS) == (
            f'# mine\nFROM="{FILE}"\nTEMPERATURE=0.2\nSYSTEM="Be brief."\n'
            'HUGGINGFACE_PATH="Qwen/Qwen2.5-1.5B-Instruct"\nNUM_CTX=4096\nMAX_NEW_TOKENS=2048\n'
        )

    @given(st.text(max_size=300))
    def test_whatever_was_there_it_is_right_afterwards(self, text: str) -> None:
        corrected = rkllama.corrected(text, SETTINGS)
        assert rkllama.differences(corrected, SETTINGS) == []
        assert rkllama.corrected(corrected, SETTINGS) == corrected

    @given(st.text(max_size=80))
    def test_no_file_name_breaks_out_of_its_line(self, name: str) -> None:
        file_name = safe_file_name(name + ".rkllm")
        settings = dict(rkllama.layout(served(file_name=file_name)).settings)
        text = rkllama.modelfile(settings)
        assert len(text.splitlines()) == len(settings)
        assert text.splitlines()[0] == f'FROM="{file_name}"'
        assert not set('"\\$') & set(file_name)


class TestOrkllm:
    def test_the_name_ends_with_the_version_that_it_looks_for(self) -> None:
        layout = orkllm.layout(served())
        assert layout.folder == "HanzoHuang/Qwen2.5-1.5B-Instruct-RKLLM"
        assert layout.model_file == "Qwen2.5-1.5B-Instruct_RK3576_w4a16-v1.2.3-RKLLM.rkllm"
        assert layout.name == f"{layout.folder}/{layout.model_file}"
        assert (layout.settings, layout.notes) == ((), ())

    @pytest.mark.parametrize("name", ["x-1.2.3.rkllm", "x-v1.2.3-RKLLM.rkllm", "x_1.2.3.rkllm"])
    def test_a_name_that_says_it_already_stays(self, name: str) -> None:
        assert orkllm.layout(served(file_name=name)).model_file == name

    def test_a_name_that_says_something_else_is_outdone(self) -> None:
        found = orkllm.layout(served(file_name="x-1.1.4.rkllm")).model_file
        assert found == "x-1.1.4-v1.2.3-RKLLM.rkllm"

    @pytest.mark.parametrize("toolkit", [None, "1.2.1b1"])
    def test_a_version_that_it_cannot_read_is_not_written(self, toolkit: str | None) -> None:
        assert orkllm.layout(served(toolkit=toolkit)).model_file == FILE

    @pytest.mark.parametrize(
        ("source", "repo", "folder"),
        [
            ("local", "/srv/models", "qwen2.5-1.5b-instruct"),
            ("converted", "x", "qwen2.5-1.5b-instruct"),
            ("modelscope", "o o/..r", "o_o/_r"),
            ("huggingface", "../..", "_/_"),
        ],
    )
    def test_its_folder(self, source: str, repo: str, folder: str) -> None:
        assert orkllm.layout(served(source=source, repo=repo)).folder == folder

    def test_what_it_cannot_do_is_said(self) -> None:
        layout = orkllm.layout(served(**VISION, limit=16384))
        assert layout.encoder_file is None
        vision, context = layout.notes
        assert "text only" in vision
        assert "ctx_window to 16384" in context


class TestDemo:
    def test_a_text_model(self) -> None:
        assert demo.command(served(), "/m/x.rkllm") == ["llm_demo", "/m/x.rkllm", "2048", "4096"]
        assert demo.notes(served()) == []

    @pytest.mark.parametrize(
        ("runtime", "behind"),
        [
            ("1.1.4", ""),
            ("1.2.1", "3"),
            ("1.2.3", "3 '<|vision_start|>' '<|vision_end|>' '<|image_pad|>'"),
            ("1.3.0", "3 rk3588 '<|vision_start|>' '<|vision_end|>' '<|image_pad|>'"),
            (None, "3 rk3588 '<|vision_start|>' '<|vision_end|>' '<|image_pad|>'"),
        ],
    )
    def test_a_vision_model_for_the_demo_of_the_runtime(
        self, runtime: str | None, behind: str
    ) -> None:
        model = served(**VISION, runtime=Version(runtime) if runtime else None)
        line = shlex.join(demo.command(model, "/m/x.rkllm", "/m/x.rknn"))
        assert line == f"demo demo.jpg /m/x.rknn /m/x.rkllm 2048 4096 {behind}".rstrip()

    def test_marks_that_are_not_known_are_left_to_the_demo(self) -> None:
        novel = served(**{**VISION, "model": "Org/Novel-VL"})
        assert demo.command(novel, "m", "e")[-1] == "rk3588"
        assert "not known" in demo.notes(novel)[-1]


@pytest.mark.parametrize(
    ("model", "encoder", "content", "tokens"),
    [
        ("Qwen/Qwen2.5-VL-3B-Instruct", "qwen2_5_vl_3b_vision_rk3588.rknn", "<|image_pad|>", 196),
        ("Qwen/Qwen3-VL-2B-Instruct", "qwen3-vl-2b_vision_rk3588.rknn", "<|image_pad|>", 196),
        ("Qwen/Qwen3.5-0.8B", "Qwen3.5-0.8B_vision_rk3588.rknn", "<|image_pad|>", 196),
        ("OpenGVLab/InternVL3-1B", "internvl3-1b_vision_fp16_rk3588.rknn", "<IMG_CONTEXT>", 256),
        ("OpenGVLab/InternVL3_5-2B", "internvl3_5-2b_vision_448_rk3588.rknn", "<IMG_CONTEXT>", 256),
        ("openbmb/MiniCPM-V-4", "vision.rknn", "<unk>", 64),
    ],
)
def test_families_of_vision_models(model: str, encoder: str, content: str, tokens: int) -> None:
    family = family_of(model)
    assert family is not None
    assert family.marks.content == content
    picture = picture_of(family, encoder)
    assert picture is not None
    assert picture.tokens == tokens


@pytest.mark.parametrize("model", ["Qwen/Qwen3-0.6B", "Qwen/Qwen2.5-1.5B-Instruct", "x"])
def test_text_models_are_no_vision_models(model: str) -> None:
    assert family_of(model) is None
