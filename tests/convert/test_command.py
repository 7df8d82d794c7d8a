"""``rkfetch convert``, and ``rkfetch MODEL`` where nothing fits, through the installed command."""

from __future__ import annotations

import json
import os
import signal
import time
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from convert import models
from neighbours import gives_out
from rkfetch.registry.rkllm_read import read_file

if TYPE_CHECKING:
    from e2e.world import Run, World

pytestmark = pytest.mark.once

BASE = "HuggingFaceTB/SmolLM2-360M-Instruct"
"""A model that the shipped catalog has no build of."""
NAME = "smollm2-360m"
FILE = "SmolLM2-360M-Instruct-rk3576-w4a16-ctx4096-v1.2.3.rkllm"
BOARD = ("--platform", "rk3576", "--runtime", "1.2.3")
HERE = ("--environment", "venv")


@pytest.fixture(autouse=True)
def _base_model(world: World) -> None:
    models.serve(world.hub, models.tiny_model(), BASE)


def how(wheel: Path) -> tuple[str, ...]:
    return (*BOARD, *HERE, "--toolkit-wheel", str(wheel), "--allow-unknown-toolkit")


def broken(folder: Path, **standin: Any) -> str:
    """Put a model on the disk with which the toolkit fails."""
    models.write(models.tiny_model(), folder)
    (folder / "standin.json").write_text(json.dumps(standin))
    return str(folder)


def leftovers(world: World) -> list[Path]:
    return sorted(world.home.glob("partials/*.work"))


def weights_asked(world: World) -> list[str]:
    return [r.path for r in world.hub.requests if r.path.endswith(".safetensors")]


def words(done: Run) -> str:
    return " ".join((done.out + done.err).split())


# --- the plan -------------------------------------------------------------------------------------


def test_a_dry_run_prints_the_plan_and_fetches_no_weights(world: World) -> None:
    done = world.run("convert", NAME, *BOARD, *HERE, "--dry-run")
    assert done.code == 0, done.err
    said = words(done)
    for fact in ("toolkit 1.2.3", "quantisation w4a16", "NPU cores 2", "context 4096", "GB of disk",
                 "https://github.com/airockchip/rknn-llm"):  # fmt: skip
        assert fact in said
    assert "virtual environment" in said
    assert weights_asked(world) == []
    assert world.models() == []


def test_what_is_here_already_is_not_counted(world: World, wheel: Path) -> None:
    command = ("convert", NAME, *how(wheel))
    before = world.run(*command, "--dry-run", "--json").json["plan"]["needs"]
    assert before["download_bytes"] > 100_000
    assert before["environment_bytes"] == 0  # the fixture installed it
    assert world.run(*command).code == 0
    after = world.run("convert", f"{NAME}@w8a8", *how(wheel), "--dry-run")
    assert "for the base model" not in words(after)
    assert "for the toolkit" not in words(after)
    (world.home / "convert").unlink()
    after = world.run(*command, "--dry-run", "--json").json["plan"]["needs"]
    assert (after["download_bytes"], after["environment_bytes"]) == (0, 5_000_000_000)


def test_as_json(world: World) -> None:
    plan = world.run("convert", f"{NAME}@w8a8", *BOARD, *HERE, "--dry-run", "--json").json["plan"]
    assert (plan["toolkit"], plan["quant"], plan["npu_cores"]) == ("1.2.3", "w8a8", 2)
    assert plan["base"]["model"] == BASE
    assert len(plan["base"]["revision"]) == 40
    assert plan["needs"]["memory_bytes"] > 0
    assert all(d["why"] for d in plan["decisions"])


def test_a_plan_that_cannot_be_carried_out_here_is_printed_all_the_same(world: World) -> None:
    done = world.run("convert", NAME, *BOARD, "--environment", "container", "--dry-run", PATH="")
    assert done.code == 10
    assert "quantisation" in done.out
    assert "install podman" in words(done)
    answer = world.run(
        "convert", NAME, *BOARD, "--environment", "container", "-n", "--json", PATH=""
    )
    assert answer.json["plan"]["quant"] == "w4a16"
    assert answer.json["error"]["code"] == 10


# --- the whole way --------------------------------------------------------------------------------


def test_one_command_makes_a_verified_file_that_the_next_question_finds(
    world: World, wheel: Path
) -> None:
    done = world.run("convert", NAME, *how(wheel))
    assert done.code == 0, done.err
    (file,) = world.models()
    assert done.out == f"{file}\n"
    assert file.name == FILE
    facts = read_file(file)
    assert (str(facts.toolkit), facts.platform_text, facts.max_context) == ("1.2.3", "rk3576", 4096)
    assert leftovers(world) == []

    record = json.loads((file.parent / "record.json").read_text())
    assert record["source"] == "converted"
    made = record["made"]
    assert made["base"]["model"] == BASE
    assert len(made["base"]["revision"]) == 40
    assert (made["toolkit"], made["quant"], made["context"]) == ("1.2.3", "w4a16", 4096)
    assert made["environment"]["wheel"].startswith("sha256:")
    assert made["seconds"] >= 0
    assert made["peak_bytes"] > 0

    world.hub.forget()
    again = world.run(NAME, *BOARD, "--json")
    assert again.code == 0, again.err
    assert again.json["action"] == "present"
    assert again.json["path"] == str(file)
    assert again.json["attributes"]["toolkit"] == {
        "value": "1.2.3", "origin": "header", "confidence": "high",
    }  # fmt: skip
    assert world.hub.requests == []
    assert world.run("list", "--json").code == 0
    assert world.run("verify").code == 0


def test_the_same_again_is_there_already(world: World, wheel: Path) -> None:
    first = world.run("convert", NAME, *how(wheel), "--json").json
    again = world.run("convert", NAME, *how(wheel), "--json").json
    other = world.run("convert", f"{NAME}@w8a8", *how(wheel), "--json").json
    assert (first["action"], again["action"], other["action"]) == (
        "converted", "present", "converted",
    )  # fmt: skip
    assert first["path"] == again["path"] != other["path"]
    assert first["plan"]["file"] == first["artifact"]["path"]


def test_a_path_that_was_printed_stays_good(world: World, wheel: Path, tmp_path: Path) -> None:
    """The same weights under another name become the same content, which is here already."""
    first = world.run("convert", NAME, *how(wheel)).out
    copy = models.write(models.tiny_model(), tmp_path / "a-copy")
    assert world.run("convert", str(copy), *how(wheel)).out == first
    assert [f"{path}\n" for path in world.models()] == [first]
    assert world.run(NAME, *BOARD).out == first


def test_others_who_share_the_catalog_need_not_make_it_again(
    world: World, wheel: Path, tmp_path: Path
) -> None:
    """A published catalog tells of it, the maker's store gives it out."""
    key, www = tmp_path / "key", str(tmp_path / "www")
    mine = models.write(models.tiny_model(pad_bytes=1000), tmp_path / "my-finetune")
    for model in (NAME, str(mine)):
        assert world.run("convert", model, *how(wheel)).code == 0
    public = world.run("catalog", "keygen", "--no-password", str(key)).out.strip()
    publish = ("catalog", "publish", www, "--key", str(key))
    told = [world.run(*publish, *more, "--json").json["rows"] for more in ((), ("--converted",))]
    assert told[1] - told[0] == 1  # what a folder of this machine became is nobody's business

    board = {"RKFETCH_HOME": str(tmp_path / "board")}
    taken = world.run("catalog", "update", "--from", www, "--key", public, **board)
    assert taken.code == 0, taken.err
    alone = world.run(NAME, *BOARD, **board)
    assert alone.code == 3
    assert "`mirrors` names a store that has it" in words(alone)

    asked: list[str] = []
    with gives_out(world.home, asked) as address:
        # A store that cannot be asked stands in nobody's way.
        board["RKFETCH_MIRRORS"] = f"http://127.0.0.1:9/models {address}/models"
        world.hub.forget()
        found = world.run(NAME, *BOARD, "--json", **board)
        assert found.code == 0, found.err
        assert found.json["action"] == "downloaded"
        assert found.json["artifact"]["source"] == "converted"
        made = next(path for path in world.models() if path.name == FILE)
        assert Path(found.json["path"]).read_bytes() == made.read_bytes()
        assert world.hub.requests == []
        asked.clear()
        assert world.run(NAME, *BOARD, "--json", **board).json["action"] == "present"
        assert asked == []


def test_a_file_that_was_removed_is_made_again_when_it_is_asked_for(
    world: World, wheel: Path
) -> None:
    world.run("convert", NAME, *how(wheel))
    (file,) = world.models()
    assert world.run("rm", file.parent.name[:12]).code == 0
    refused = world.run(NAME, *BOARD)
    assert refused.code == 3
    assert "rkfetch convert" in words(refused)
    assert world.run("convert", NAME, *how(wheel)).code == 0


def test_it_is_placed_where_it_was_asked_for(world: World, wheel: Path, tmp_path: Path) -> None:
    done = world.run("convert", NAME, *how(wheel), "-o", str(tmp_path / "out"))
    assert done.out == f"{tmp_path}/out/{FILE}\n"


def test_a_folder_of_this_machine(world: World, wheel: Path, tmp_path: Path) -> None:
    folder = models.write(models.tiny_model(), tmp_path / "my-finetune")
    done = world.run("convert", str(folder), *how(wheel), "--json", "--offline")
    assert done.code == 0, done.err
    assert done.json["artifact"]["repo"] == "local/my-finetune"
    assert done.json["made"]["base"]["path"] == str(folder)


def test_a_gguf_file(world: World, wheel: Path, tmp_path: Path) -> None:
    file = tmp_path / "tiny.gguf"
    file.write_bytes(models.gguf_bytes(file_type=1))
    done = world.run("convert", str(file), *how(wheel))
    assert done.code == 0, done.err


def test_over_a_link_that_costs_nothing_large_comes_unasked(world: World, wheel: Path) -> None:
    """The toolkit's packages count, too; what is here already does not."""
    (world.home / "convert").unlink()
    command = ("convert", NAME, *how(wheel), "--metered", "yes")
    refused = world.run(*command, "--json")
    assert (refused.code, refused.json["error"]["kind"]) == (11, "metered")
    assert "5000 MB would come over it" in words(refused)
    assert weights_asked(world) == []


def test_what_is_published_is_pointed_out(world: World, wheel: Path) -> None:
    models.serve(world.hub, models.tiny_model(), "Qwen/Qwen2.5-1.5B-Instruct")
    done = world.run("convert", "qwen2.5-1.5b", *how(wheel), "--dry-run")
    assert "a build that fits is published" in words(done)


def test_too_little_memory_is_found_out_before_the_weights_are_asked_for(
    world: World, wheel: Path
) -> None:
    shape = {"dtype": "BF16", "shape": [400_000, 1_000_000], "data_offsets": [0, 800_000_000_000]}
    header = json.dumps({"weight": shape}).encode()
    weights = len(header).to_bytes(8, "little") + header
    models.serve(world.hub, {**models.tiny_model(), "model.safetensors": weights}, "someone/Huge")
    done = world.run("convert", "someone/Huge", *how(wheel))
    assert done.code == 10, done.err
    for part in ("it takes about 1601.0 GB of memory at float32", "--dtype", "more swap",
                 "--on ssh://USER@HOST"):  # fmt: skip
        assert (part in words(done)) == (part != "--dtype")  # half of it would not help either
    assert weights_asked(world) == []


# --- at a terminal --------------------------------------------------------------------------------


def test_a_person_is_told_what_it_takes_and_asked(world: World, wheel: Path) -> None:
    declined = world.at_terminal("convert", NAME, *how(wheel), said="\n")
    assert (declined.code, declined.out) == (2, "")
    screen = " ".join(declined.err.split())
    assert "quantisation w4a16" in screen
    assert "Convert it now? [y/N]" in screen
    assert weights_asked(world) == []
    agreed = world.at_terminal("convert", NAME, *how(wheel), said="y\n")
    assert agreed.code == 0, agreed.err
    assert agreed.out.endswith(f"{FILE}\n")


def test_where_nothing_fits_converting_is_offered(world: World) -> None:
    """The stand-in cannot be named here: what is declined needs no toolkit."""
    world.env["RKFETCH_CONVERT_ENVIRONMENT"] = "venv"
    declined = world.at_terminal(NAME, *BOARD, said="n\n")
    assert (declined.code, declined.out) == (10, "")
    screen = " ".join(declined.err.split())
    assert "No published build fits" in screen
    assert "Convert it now? [y/N]" in screen
    never = world.at_terminal(NAME, *BOARD, "--convert", "never", said="n\n")
    assert never.code == 10
    assert "Convert it now?" not in never.err


def test_code_is_shown_before_anybody_agrees_to_it(world: World, wheel: Path) -> None:
    models.serve(world.hub, models.with_code(models.tiny_model()), "someone/Tiny")
    done = world.at_terminal("convert", "someone/Tiny", *how(wheel), said="y\nn\n")
    assert done.code == 2
    assert done.err.index("modeling_tiny.py") < done.err.index("Run this code")
    assert weights_asked(world) == []


# --- from the main job ----------------------------------------------------------------------------


def test_in_a_script_nothing_is_converted_unasked(world: World) -> None:
    done = world.run(NAME, *BOARD)
    assert done.code == 10
    assert f"rkfetch convert {NAME} --platform rk3576 --runtime 1.2.3" in words(done)
    assert weights_asked(world) == []
    never = world.run(NAME, *BOARD, "--convert", "never")
    assert never.code == done.code


@pytest.mark.parametrize("question", ["resolve", "explain"])
def test_who_only_asks_is_told_the_command(world: World, question: str) -> None:
    done = world.run(question, NAME, *BOARD)
    assert done.code == 10
    command = f"rkfetch convert {NAME} --platform rk3576 --runtime 1.2.3"
    assert f"make one on an x86_64 Linux PC: {command}" in words(done)


def test_always_converts_where_nothing_fits(world: World, wheel: Path) -> None:
    """The toolkit itself would come from its maker; that it is asked for is as far as it goes."""
    done = world.run(
        NAME, *BOARD, "--convert", "always", RKFETCH_CONVERT_ENVIRONMENT="venv",
        RKFETCH_TOOLKIT_URL=f"{world.hub.endpoint}/no-such-repository",
    )  # fmt: skip
    assert done.code == 6, done.err
    assert "rkllm_toolkit-1.2.3-cp" in words(done)
    assert weights_asked(world) == []


@pytest.mark.parametrize("where", ["container", "venv"])
def test_where_is_a_setting_for_the_main_job_too(world: World, where: str) -> None:
    (world.home / "config.toml").write_text(f'convert_environment = "{where}"\n')
    done = world.run(NAME, *BOARD, "--convert", "always", PATH="", PYENV_ROOT="/nowhere")
    assert done.code == 10
    assert ("podman nor docker" in words(done)) == (where == "container")
    assert ("no Python that toolkit" in words(done)) == (where == "venv")


def test_it_does_not_take_the_place_of_what_fits(world: World) -> None:
    world.add("SmolLM2-360M-Instruct_RK3576_w4a16.rkllm", repo="x/SmolLM2-360M-RKLLM")
    world.update()
    done = world.run(NAME, *BOARD, "--convert", "always", "--json")
    assert done.code == 0, done.err
    assert done.json["action"] == "downloaded"


def test_on_another_kind_of_machine_there_is_a_command_for_a_pc(world: World) -> None:
    """`setarch` makes the kernel report what it would on another processor."""
    world.env["PATH"] = os.environ["PATH"]
    command = f"rkfetch convert {NAME} --platform rk3576 --runtime 1.2.3 --memory 8G"
    for args in (["convert", NAME], [NAME]):
        done = world.run_under("setarch", "i686", *args, *BOARD, "--memory", "8G")
        assert done.code == 10, done.err
        assert command in words(done)
    assert "--deliver" in words(world.run_under("setarch", "i686", "convert", NAME, *BOARD))
    assert weights_asked(world) == []


# --- what lies with a model -----------------------------------------------------------------------


def test_code_is_named_and_runs_only_if_somebody_agrees(world: World, wheel: Path) -> None:
    models.serve(world.hub, models.with_code(models.tiny_model()), "someone/Tiny")
    refused = world.run("convert", "someone/Tiny", *how(wheel))
    assert refused.code == 2
    assert "modeling_tiny.py" in words(refused)
    assert "--trust-code" in words(refused)
    assert weights_asked(world) == []
    agreed = world.run("convert", "someone/Tiny", *how(wheel), "--trust-code")
    assert agreed.code == 0, agreed.err


def test_a_gated_model(world: World, wheel: Path) -> None:
    models.serve(world.hub, models.tiny_model(), "meta/Closed", gated="manual")
    done = world.run("convert", "meta/Closed", *how(wheel))
    assert done.code == 5
    assert "HF_TOKEN" in words(done)


@pytest.mark.parametrize(
    ("name", "code"), [("no-such-model-9b", 4), ("./nowhere", 2), ("hf:a/b/c.rkllm", 2)]
)
def test_what_is_no_base_model(world: World, name: str, code: int) -> None:
    assert world.run("convert", name, *BOARD).code == code


# --- failures -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("mode", "says"),
    [
        ("killed", "memory"),
        ("crashed", "SIGSEGV"),
        ("wordless", "build"),
        ("exits-0", ""),
        ("target-full", "disk"),
        ("short", "incomplete"),
        ("empty", ""),
        ("nothing", ""),
        ("width", "96"),
        ("foreign", "quantised"),
    ],
)
def test_a_toolkit_that_fails_leaves_nothing_but_words(
    world: World, wheel: Path, tmp_path: Path, mode: str, says: str
) -> None:
    folder = broken(tmp_path / "model", mode=mode)
    done = world.run("convert", folder, *how(wheel))
    assert done.code == (8 if mode == "target-full" else 12), done.err
    assert says in words(done)
    assert "hint:" in done.err
    told = world.run("convert", folder, *how(wheel), "--json")
    assert told.code == told.json["error"]["code"] == done.code
    assert world.models() == []
    assert leftovers(world) == []


def test_an_earlier_file_survives_a_failure(world: World, wheel: Path, tmp_path: Path) -> None:
    folder = broken(tmp_path / "model", mode="success")
    assert world.run("convert", folder, *how(wheel)).code == 0
    (before,) = world.models()
    content = before.read_bytes()
    broken(tmp_path / "model", mode="target-full")
    assert world.run("convert", f"{folder}@w8a8", *how(wheel)).code == 8
    assert before.read_bytes() == content


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupt_ends_the_toolkit_and_removes_what_it_wrote(
    world: World, wheel: Path, tmp_path: Path, number: signal.Signals
) -> None:
    process = started(world, wheel, broken(tmp_path / "model", mode="silent", seconds=60))
    process.send_signal(number)
    process.communicate(timeout=30)
    assert process.returncode == 130
    assert leftovers(world) == []
    assert workers(world) == []


def test_after_a_kill_the_rest_is_cleaned_up_and_it_goes_on(
    world: World, wheel: Path, tmp_path: Path
) -> None:
    folder = broken(tmp_path / "model", mode="silent", seconds=60)
    process = started(world, wheel, folder)
    process.kill()
    process.communicate(timeout=30)
    deadline = time.monotonic() + 20
    while workers(world) and time.monotonic() < deadline:
        time.sleep(0.1)
    assert workers(world) == []
    assert len(leftovers(world)) == 1
    plan = world.run("gc", "--dry-run")
    assert "left by a conversion that was ended" in words(plan)
    assert world.run("gc").code == 0
    assert leftovers(world) == []
    (tmp_path / "model" / "standin.json").unlink()
    assert world.run("convert", folder, *how(wheel)).code == 0


def test_two_at_once_make_it_once(world: World, wheel: Path) -> None:
    both = [world.start("convert", NAME, *how(wheel), "--json") for _ in range(2)]
    answers = [json.loads(p.communicate(timeout=120)[0]) for p in both]
    assert sorted(a["action"] for a in answers) == ["converted", "present"]
    assert len(world.models()) == 1


def started(world: World, wheel: Path, folder: str) -> Any:
    """Start a conversion, and return it once the toolkit is at work."""
    process = world.start("convert", folder, *how(wheel))
    deadline = time.monotonic() + 60
    while not workers(world) and time.monotonic() < deadline and process.poll() is None:
        time.sleep(0.05)
    assert process.poll() is None, process.communicate()
    time.sleep(0.5)
    return process


def workers(world: World) -> list[Path]:
    """The processes that work in this machine's folders."""
    found = []
    for entry in Path("/proc").iterdir():
        with suppress(OSError):
            if str(world.home / "partials").encode() in (entry / "environ").read_bytes():
                found.append(entry)
    return found
