"""What a demanding user tries, through the installed command against the loopback Hub.

The numbers are those of the project's list of scenarios.
"""

from __future__ import annotations

import hashlib
import json
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from boards import device_tree, library, memory, put, rock_4d
from e2e.world import OTHER, QWEN, RKFETCH, SIZE, W4
from hub.faults import JSON_ERROR, LOGIN_PAGE, POINTER
from hub.server import Fault

if TYPE_CHECKING:
    from e2e.world import World

HERE = ("--runtime", "1.2.3")


def sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


# --- 1. exact match -----------------------------------------------------------------------------


def test_1_the_exact_build_is_taken_and_asking_again_costs_no_network(qwen: World) -> None:
    first = qwen.run("qwen2.5-1.5b", *HERE)
    assert first.code == 0, first.err
    path = Path(first.out.removesuffix("\n"))
    assert "\n" not in str(path)
    assert path.name == "Qwen2.5-1.5B-Instruct_RK3576_w4a16.rkllm"
    assert sha256(path) == qwen.sha256(W4)
    qwen.hub.forget()
    second = qwen.run("qwen2.5-1.5b", *HERE)
    assert (second.code, second.out) == (0, first.out)
    assert "already here" in second.err
    assert qwen.hub.requests == []


def test_1_json_has_every_promised_key(qwen: World) -> None:
    answer = qwen.run("qwen2.5-1.5b", *HERE, "--json", "--quiet").json
    assert next(iter(answer)) == "schema_version"
    assert answer["schema_version"] == 1
    assert (answer["status"], answer["action"], answer["error"]) == ("ok", "downloaded", None)
    assert answer["model"] == "Qwen/Qwen2.5-1.5B-Instruct"
    assert answer["target"]["platform"] == "rk3576"
    assert answer["target"]["runtime"] == "1.2.3"
    assert answer["artifact"]["sha256"] == sha256(Path(answer["path"]))
    assert len(answer["artifact"]["revision"]) == 40
    assert answer["attributes"]["toolkit"] == {
        "value": "1.2.3",
        "origin": "header",
        "confidence": "high",
    }
    assert answer["verdict"]["level"] == "exact"
    assert {r["reason"] for r in answer["rejected"]} >= {"platform"}


def test_o_places_a_link_and_never_downloads_again(qwen: World, tmp_path: Path) -> None:
    stored = Path(qwen.run("qwen2.5-1.5b", *HERE, "--quiet").out.strip())
    qwen.hub.forget()
    placed = qwen.run("qwen2.5-1.5b", *HERE, "-o", str(tmp_path / "models"))
    path = Path(placed.out.strip())
    assert path.parent == tmp_path / "models"
    assert path.stat().st_ino == stored.stat().st_ino
    assert qwen.hub.data_bytes() == 0


def test_1_on_a_board_nothing_needs_to_be_said(qwen: World, tmp_path: Path) -> None:
    board = rock_4d(tmp_path / "board", runtime="1.2.3", driver="0.9.8")
    answer = qwen.run("qwen2.5-1.5b", "--json", RKFETCH_SYSROOT=str(board)).json
    target = answer["target"]
    assert (target["platform"], target["runtime"], target["driver"]) == ("rk3576", "1.2.3", "0.9.8")
    assert target["memory_bytes"] > 3_000_000_000
    assert answer["action"] == "downloaded"


def test_1_on_a_board_of_another_chip_its_own_build_is_taken(qwen: World, tmp_path: Path) -> None:
    done = qwen.run("qwen2.5-1.5b", RKFETCH_SYSROOT=str(nanopi_r6s(tmp_path / "board")))
    assert done.code == 0, done.err
    assert done.out.endswith("_RK3588_w8a8.rkllm\n")


def nanopi_r6s(root: Path) -> Path:
    """An RK3588S board with runtime 1.2.3."""
    device_tree(root, "FriendlyElec NanoPi R6S", "friendlyelec,nanopi-r6s", "rockchip,rk3588s")
    put(root, "usr/lib/librkllmrt.so", library("1.2.3"))
    memory(root, 8_000_000, 7_000_000)
    return root


def test_1_off_a_board_a_missing_runtime_is_said_not_guessed(qwen: World) -> None:
    done = qwen.run("qwen2.5-1.5b")
    assert (done.code, done.out) == (2, "")
    assert "--runtime" in done.err
    assert qwen.hub.data_bytes() == 0
    taken = qwen.run("qwen2.5-1.5b", "--allow-unverified")
    assert taken.code == 0
    assert "warning: the board's runtime version is not known" in " ".join(taken.err.split())


def test_o_that_cannot_work_is_said_before_the_download(qwen: World, tmp_path: Path) -> None:
    in_the_way = tmp_path / "file"
    in_the_way.touch()
    done = qwen.run("qwen2.5-1.5b", *HERE, "-o", str(in_the_way / "below"))
    assert (done.code, done.out) == (2, ""), done.err
    assert "no file can be placed" in done.err
    assert qwen.hub.data_bytes() == 0


def test_1_a_file_that_somebody_wrote_to_is_not_given_out(qwen: World, tmp_path: Path) -> None:
    linked = Path(qwen.run("qwen2.5-1.5b", *HERE, "-q", "-o", str(tmp_path)).out.strip())
    with linked.open("r+b") as file:
        file.seek(SIZE // 2)
        file.write(b"x")
    again = qwen.run("qwen2.5-1.5b", *HERE, "--json", "-q").json
    assert again["action"] == "downloaded"
    assert sha256(Path(again["path"])) == qwen.sha256(W4)


# --- 2. only other chips ------------------------------------------------------------------------


def test_2_builds_for_another_chip_are_counted_and_not_touched(world: World) -> None:
    world.add(OTHER, platform="rk3588", npu_cores=3)
    world.add("RK3588/Qwen2.5-1.5B-Instruct_RK3588_w8a8_g128.rkllm", platform="rk3588", seed=1)
    world.update()
    done = world.run("qwen2.5-1.5b", *HERE)
    assert (done.code, done.out) == (3, "")
    assert "builds for another SoC: rk3588" in done.err
    assert world.models() == world.partials() == []
    assert world.hub.data_bytes() == 0
    answer = world.run("qwen2.5-1.5b", *HERE, "--json").json
    assert answer["error"]["code"] == 3
    assert answer["error"]["kind"] == "incompatible"
    platform = [r for r in answer["rejected"] if r["reason"] == "platform"]
    assert len([r for r in platform if r["repo"] == QWEN and "/" in r["path"]]) >= 2


# --- 3. older and newer runtime -----------------------------------------------------------------


def test_3_a_newer_file_is_refused_with_both_ways_out(qwen: World) -> None:
    done = qwen.run("qwen2.5-1.5b", "--runtime", "1.2.1")
    assert done.code == 3
    assert "2 builds newer than the runtime" in done.err
    hint = " ".join(done.err.split())
    assert "update the board's runtime to 1.2.3" in hint
    command = "rkfetch convert qwen2.5-1.5b --platform rk3576 --runtime 1.2.1"
    assert f"make one on an x86_64 Linux PC: {command}" in hint


def test_3_runtime_1_3_0_takes_its_own_build_and_names_the_risky_one(qwen: World) -> None:
    qwen.add("RK3576/Qwen2.5-1.5B-Instruct_RK3576_w4a16_g128.rkllm", toolkit="1.3.0", seed=9)
    qwen.update()
    done = qwen.run("qwen2.5-1.5b", "--runtime", "1.3.0")
    assert done.code == 0, done.err
    assert done.out.endswith("_w4a16_g128.rkllm\n")
    assert "passed over" in done.err
    assert "https://github.com/airockchip/rknn-llm/issues/534" in done.err


def test_3_only_risky_builds_are_refused_unless_allowed(qwen: World) -> None:
    refused = qwen.run("qwen2.5-1.5b", "--runtime", "1.3.0")
    assert refused.code == 3
    assert "issues/534" in refused.err
    assert "--allow-risky" in refused.err
    taken = qwen.run("qwen2.5-1.5b", "--runtime", "1.3.0", "--allow-risky")
    assert taken.code == 0
    assert "warning" in taken.err


@pytest.mark.parametrize(("said", "code"), [("y\n", 0), ("\n", 3)])
def test_3_at_a_terminal_a_risky_build_is_offered(qwen: World, said: str, code: int) -> None:
    done = qwen.at_terminal("qwen2.5-1.5b", "--runtime", "1.3.0", said=said)
    assert done.code == code, done.err
    assert "Take it all the same?" in done.err
    assert bool(done.out) == (code == 0)


def test_3_the_known_bad_model_is_named(world: World) -> None:
    name = "RK3576/DeepSeek-R1-Distill-Qwen-1.5B_RK3576_w4a16.rkllm"
    world.add(name, repo="HanzoHuang/DeepSeek-R1-Distill-Qwen-1.5B-RKLLM")
    world.update()
    done = world.run("deepseek-r1-1.5b", *HERE)
    assert done.code == 3
    assert "https://github.com/airockchip/rknn-llm/issues/424" in done.err


# --- 4. the label lies --------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("lie", "said"),
    [
        ({"platform": "rk3588"}, "platform rk3576"),
        ({"toolkit": "1.3.0"}, "toolkit 1.2.3"),
    ],
)
def test_4_a_lying_label_is_found_before_the_download(
    world: World, lie: dict[str, Any], said: str
) -> None:
    path = "Qwen2.5-1.5B-Instruct_RK3576_w4a16_rkllm1.2.3.rkllm"
    world.add(path, repo="liar/Qwen2.5-1.5B-Instruct-RKLLM", **lie)
    reference = f"hf:liar/Qwen2.5-1.5B-Instruct-RKLLM/{path}"
    done = world.run(reference, *HERE)
    assert (done.code, done.out) == (7, ""), done.err
    assert said in " ".join(done.err.split())
    assert world.models() == world.partials() == []
    assert world.hub.data_bytes() < SIZE / 10
    # The catalog has learnt the truth: neither by name nor by address is it offered again.
    assert world.run(reference, *HERE).code in {3, 7}
    again = world.run("qwen2.5-1.5b", *HERE, "--json").json
    assert (again["artifact"] or {}).get("repo") != "liar/Qwen2.5-1.5B-Instruct-RKLLM"


# --- 5. power loss ------------------------------------------------------------------------------


BIG = 24_000_000
"""Large enough that some of it is certainly on the disk at 40 %."""


@pytest.fixture
def big(world: World) -> World:
    world.add(W4, seed=1, size=BIG)
    world.update()
    return world


def stopped_at(
    world: World, share: float, number: signal.Signals, *more: str
) -> subprocess.Popen[str]:
    """Send a signal to a download when so much of it has arrived and the rest is held back."""
    hold = world.hub.hold("*_w4a16.rkllm", int(BIG * share))
    process = world.start("qwen2.5-1.5b", *HERE, *more)
    assert hold.reached.wait(30)
    world.wait_for_partial(BIG * share * 0.7)
    process.send_signal(number)
    process.wait(30)
    hold.released.set()
    return process


def killed_at(world: World, share: float) -> Path:
    """Kill a download for real; returns the partial."""
    stopped_at(world, share, signal.SIGKILL).communicate()
    (partial,) = world.partials()
    return partial


def assert_whole(world: World) -> None:
    (model,) = world.models()
    assert sha256(model) == world.sha256(W4)
    assert world.partials() == []


def test_5_after_sigkill_a_new_process_goes_on_with_a_range(big: World) -> None:
    killed_at(big, 0.4)
    big.hub.forget()
    done = big.run("qwen2.5-1.5b", *HERE)
    assert done.code == 0, done.err
    assert_whole(big)
    asked = [r for r in big.hub.requests if r.origin == "cdn"]
    assert asked
    for request in asked:
        assert request.status == 206
        assert request.range is not None
        assert "if-range" in request.headers
    # Not what the server sent: some of it still lies in the buffers of connections that were cut.
    assert "were here already" in done.err


def test_5_a_torn_last_block_is_noticed(big: World) -> None:
    partial = killed_at(big, 0.6)
    content = bytearray(partial.read_bytes())
    content[-4096:] = bytes(4096)
    partial.write_bytes(content)
    assert big.run("qwen2.5-1.5b", *HERE).code == 0
    assert_whole(big)


@pytest.mark.parametrize(
    "fault",
    [
        Fault(path="*_w4a16.rkllm", ignore_range=True),
        Fault(path="*_w4a16.rkllm", origin="cdn", status=416, times=1),
        Fault(path="*_w4a16.rkllm", etag='"another"'),
    ],
    ids=["200 instead of 206", "416", "changed ETag"],
)
def test_5_a_server_that_cannot_go_on_means_a_clean_restart(big: World, fault: Fault) -> None:
    killed_at(big, 0.5)
    big.hub.break_it(fault)
    done = big.run("qwen2.5-1.5b", *HERE)
    assert done.code == 0, done.err
    assert_whole(big)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_5_a_signal_keeps_the_partial_and_exits_130(big: World, number: signal.Signals) -> None:
    process = stopped_at(big, 0.5, number, "--json")
    out, err = process.communicate()
    assert process.returncode == 130
    answer = json.loads(out)
    assert (answer["status"], answer["error"]["code"]) == ("error", 130)
    assert answer["reference"] == "qwen2.5-1.5b"
    assert "interrupted" in err
    assert "Traceback" not in err
    assert len(big.partials()) == 1
    done = big.run("qwen2.5-1.5b", *HERE)
    assert done.code == 0
    assert "were here already" in done.err
    assert_whole(big)


# --- 6. bad link --------------------------------------------------------------------------------


def test_6_a_link_that_drops_again_and_again_finishes(qwen: World) -> None:
    qwen.hub.break_it(Fault(path="*_w4a16.rkllm", origin="cdn", drop_after=300_000))
    done = qwen.run("qwen2.5-1.5b", *HERE)
    assert done.code == 0, done.err
    assert_whole(qwen)


def test_a_rate_is_kept_to(qwen: World) -> None:
    began = time.monotonic()
    done = qwen.run("qwen2.5-1.5b", *HERE, "--limit-rate", "1M", "--background")
    assert done.code == 0, done.err
    assert time.monotonic() - began > SIZE / 1_000_000 * 0.9
    assert_whole(qwen)
    wrong = qwen.run("qwen2.5-1.5b", *HERE, "--limit-rate", "fast")
    assert wrong.code == 2
    assert "'fast' is not a rate" in wrong.err


# --- 11. mirrors --------------------------------------------------------------------------------


def test_11_a_dead_first_endpoint_fails_over(qwen: World) -> None:
    """The main host is unreachable; a mirror serves header, content, and the same digest."""
    env = {"HF_ENDPOINT": "http://127.0.0.1:9", "RKFETCH_ENDPOINTS": qwen.hub.endpoint}
    done = qwen.run("qwen2.5-1.5b", *HERE, **env)
    assert done.code == 0, done.err
    assert f"going on with {qwen.hub.endpoint}" in " ".join(done.err.split())
    assert_whole(qwen)


def test_11_a_hostile_mirror_is_measured_by_the_catalog(qwen: World) -> None:
    qwen.hub.break_it(Fault(path="*_w4a16.rkllm", origin="cdn", flip_at=SIZE // 2))
    env = {"RKFETCH_ENDPOINTS": "http://127.0.0.1:9"}
    done = qwen.run("qwen2.5-1.5b", *HERE, **env)
    assert done.code == 7, done.err
    assert qwen.models() == []


# --- 7. corruption ------------------------------------------------------------------------------


def test_7_a_flipped_byte_is_found_and_never_kept(qwen: World) -> None:
    qwen.hub.break_it(Fault(path="*_w4a16.rkllm", origin="cdn", flip_at=SIZE // 2))
    done = qwen.run("qwen2.5-1.5b", *HERE, "--json")
    assert done.code == 7
    error = done.json["error"]
    assert error["kind"] == "integrity"
    assert qwen.sha256(W4) in done.err
    assert "expected" in done.err
    assert qwen.models() == []
    bodies = [r for r in qwen.hub.requests if r.is_data and r.sent_bytes > SIZE]
    assert len(bodies) == 2  # one fresh try, no more


def test_7_one_bad_transfer_is_mended_by_the_fresh_try(qwen: World) -> None:
    qwen.hub.break_it(Fault(path="*_w4a16.rkllm", origin="cdn", flip_at=SIZE // 2, times=1))
    done = qwen.run("qwen2.5-1.5b", *HERE)
    assert done.code == 0, done.err
    assert_whole(qwen)


@pytest.mark.parametrize(
    ("body", "word"),
    [(JSON_ERROR, "JSON"), (LOGIN_PAGE, "web page"), (POINTER, "LFS")],
    ids=["json", "html", "lfs"],
)
def test_7_another_thing_in_its_place_is_named(qwen: World, body: bytes, word: str) -> None:
    qwen.hub.break_it(Fault(path="*_w4a16.rkllm", origin="cdn", method="GET", body=body))
    done = qwen.run("qwen2.5-1.5b", *HERE)
    assert done.code == 7, done.err
    assert word in " ".join(done.err.split())
    assert qwen.models() == []


# --- 8. disk ------------------------------------------------------------------------------------


def run_on_small_disk(
    world: World, free_bytes: int, script: str
) -> subprocess.CompletedProcess[str]:
    """Run ``script`` in a mount namespace where the home is a file system of its own."""
    setup = (
        f'cp -r "$RKFETCH_HOME" "$RKFETCH_HOME.seed" && '
        f'size=$(($(du -sb "$RKFETCH_HOME.seed" | cut -f1) + {free_bytes} + 65536)) && '
        f'mount -t tmpfs -o "size=$size" tmpfs "$RKFETCH_HOME" && '
        f'cp -r "$RKFETCH_HOME.seed/." "$RKFETCH_HOME/"; '
    )
    return subprocess.run(
        ["unshare", "-rm", "sh", "-c", setup + script],
        env={**world.env, "rkfetch": str(RKFETCH)},
        check=False,
        capture_output=True,
        text=True,
        timeout=60,
    )


def test_8_one_megabyte_short_is_said_before_the_first_byte(qwen: World) -> None:
    done = run_on_small_disk(qwen, SIZE - 1_000_000, f'"$rkfetch" qwen2.5-1.5b {" ".join(HERE)}')
    assert (done.returncode, done.stdout) == (8, ""), done.stderr
    text = " ".join(done.stderr.split())
    assert "rkfetch" in text
    assert "need" in text
    assert qwen.hub.data_bytes() == 0


def test_8_space_that_vanishes_midway_leaves_a_resumable_partial(qwen: World) -> None:
    hold = qwen.hub.hold("*_w4a16.rkllm", SIZE // 2)
    script = (
        f'"$rkfetch" qwen2.5-1.5b {" ".join(HERE)} & '
        'while [ ! -e "$RKFETCH_HOME.seed/full" ]; do sleep 0.05; done; '
        'dd if=/dev/zero of="$RKFETCH_HOME/filler" bs=65536 2>/dev/null; '
        'touch "$RKFETCH_HOME.seed/filled"; wait $!; code=$?; '
        'rm "$RKFETCH_HOME/filler"; ls "$RKFETCH_HOME/partials" >&2; '
        f'[ "$code" = 8 ] && "$rkfetch" qwen2.5-1.5b {" ".join(HERE)}; echo "first exit: $code"'
    )

    def fill_then_go_on() -> None:
        assert hold.reached.wait(30)
        seed = Path(f"{qwen.home}.seed")
        (seed / "full").touch()
        while not (seed / "filled").exists():
            time.sleep(0.05)
        hold.released.set()

    helper = threading.Thread(target=fill_then_go_on)
    helper.start()
    done = run_on_small_disk(qwen, SIZE + 2_000_000, script)
    helper.join()
    assert "first exit: 8" in done.stdout, done.stderr
    assert ".partial" in done.stderr
    assert "Traceback" not in done.stderr
    assert "_w4a16.rkllm" in done.stdout  # the second run finished it


# --- 9. memory ----------------------------------------------------------------------------------

QWEN3 = "HanzoHuang/Qwen3-4B-RKLLM"


@pytest.fixture
def qwen3(world: World) -> World:
    world.add("RK3576/Qwen3-4B_RK3576_w4a16.rkllm", repo=QWEN3, seed=1)
    world.add("RK3576/Qwen3-4B_RK3576_w8a8.rkllm", repo=QWEN3, seed=2)
    world.update()
    return world


def test_9_what_does_not_fit_is_passed_over_with_its_figure(qwen3: World) -> None:
    explained = qwen3.run("explain", "qwen3-4b", *HERE, "--memory", "4G").out
    assert "5.2 GB of memory" in explained
    assert "https://github.com/Hanzo-Huang/rkllm-docker" in explained
    done = qwen3.run("qwen3-4b", *HERE, "--memory", "4G")
    assert done.code == 0
    assert done.out.endswith("Qwen3-4B_RK3576_w4a16.rkllm\n")
    assert "warning: it fits only just" in done.err


def test_9_insisting_on_it_exits_9_unless_forced(qwen3: World) -> None:
    refused = qwen3.run("qwen3-4b@w8a8", *HERE, "--memory", "4G")
    assert (refused.code, refused.out) == (9, "")
    assert "5.2 GB" in refused.err
    assert qwen3.hub.data_bytes() == 0
    forced = qwen3.run("qwen3-4b@w8a8", *HERE, "--memory", "4G", "--force")
    assert forced.code == 0
    assert forced.out.endswith("Qwen3-4B_RK3576_w8a8.rkllm\n")


# --- 10. gated ----------------------------------------------------------------------------------


def gate(world: World) -> None:
    repo = world.hub.find_repo(QWEN)
    assert repo is not None
    repo.gated = "auto"


def test_10_gated_says_where_to_accept_and_how_to_give_a_token(qwen: World) -> None:
    gate(qwen)
    done = qwen.run("qwen2.5-1.5b", *HERE)
    assert (done.code, done.out) == (5, "")
    assert f"{qwen.hub.endpoint}/{QWEN}" in done.err
    assert "HF_TOKEN" in done.err


def test_10_the_token_opens_it_and_goes_nowhere_else(qwen: World) -> None:
    gate(qwen)
    qwen.hub.tokens.add("hf_secret")
    done = qwen.run("qwen2.5-1.5b", *HERE, "--debug", HF_TOKEN="hf_secret")
    assert done.code == 0, done.err
    assert "hf_secret" not in done.out + done.err
    with_token = {r.origin for r in qwen.hub.requests if "authorization" in r.headers}
    assert with_token == {"hub"}
    refused = qwen.run("qwen2.5-1.5b@w8a8", *HERE, HF_TOKEN="hf_wrong")
    assert refused.code == 5
    assert "hf_wrong" not in refused.out + refused.err


# --- 15. life after install ---------------------------------------------------------------------


def test_15_list_verify_remove(qwen: World) -> None:
    path = Path(qwen.run("qwen2.5-1.5b", *HERE, "--quiet").out.strip())
    assert "Qwen2.5-1.5B-Instruct" in qwen.run("list").out
    assert qwen.run("path", "qwen2.5-1.5b").out.strip() == str(path)
    assert qwen.run("verify").code == 0
    content = bytearray(path.read_bytes())
    content[SIZE // 2] ^= 1
    path.chmod(0o644)
    path.write_bytes(content)
    broken = qwen.run("verify")
    assert broken.code == 7
    assert path.name in broken.out + broken.err
    assert qwen.run("rm", "../../etc").code in {2, 4}
    assert Path("/etc").is_dir()
    assert qwen.run("rm", "qwen2.5-1.5b").code == 0
    assert qwen.models() == []


def test_15_gc_removes_stale_partials_and_nothing_in_use(big: World) -> None:
    partial = killed_at(big, 0.5)
    kept = big.run("gc", "--dry-run")
    assert kept.code == 0
    assert partial.exists()
    removed = big.run("gc", "--older-than", "0")
    assert removed.code == 0, removed.err
    assert not partial.exists()


def test_15_near_misses_are_suggested(qwen: World) -> None:
    done = qwen.run("quen2.5-1.5b", *HERE)
    assert done.code == 4
    assert "did you mean Qwen2.5-1.5B-Instruct" in done.err
    command = qwen.run("serach", "qwen")
    assert command.code == 2
    assert "did you mean `rkfetch search`" in command.err


def test_15_a_replaced_file_is_a_new_build_and_never_spliced(big: World) -> None:
    partial = killed_at(big, 0.5)
    old = big.sha256(W4)
    big.add(W4, seed=77, size=BIG)
    # The catalog knows the commit: its content is still what one gets.
    assert big.run("qwen2.5-1.5b", *HERE).code == 0
    assert [sha256(m) for m in big.models()] == [old]
    assert not partial.exists()
    big.update()
    again = big.run("qwen2.5-1.5b", *HERE)
    assert again.code == 0, again.err
    assert sha256(Path(again.out.strip())) == big.sha256(W4) != old


def test_15_without_a_commit_a_replaced_file_is_refused_until_the_update(world: World) -> None:
    """The shipped snapshot knows a digest and no commit; the Hub here has another content."""
    world.add(W4)
    done = world.run("qwen2.5-1.5b", *HERE)
    assert done.code == 7
    assert "rkfetch catalog update" in done.err
    assert world.models() == world.partials() == []
    assert world.hub.data_bytes() == 0
    world.update()
    assert world.run("qwen2.5-1.5b", *HERE).code == 0


# --- for scripts --------------------------------------------------------------------------------


def test_13_offline_with_something_not_here_is_said_at_once(qwen: World) -> None:
    done = qwen.run("qwen2.5-1.5b", *HERE, "--offline")
    assert (done.code, done.out) == (11, "")
    assert qwen.hub.requests == []
    assert qwen.run("qwen2.5-1.5b", *HERE, HF_HUB_OFFLINE="1").code == 11


EXACT = "hf:someone/Thing-7B-RKLLM/thing.rkllm"


def test_an_exact_file_fails_with_its_own_trouble(world: World) -> None:
    """Nothing is "incompatible" that could not even be looked at."""
    missing = world.run(EXACT, *HERE)
    assert (missing.code, missing.out) == (5, ""), missing.err
    world.hub.add_repo("someone/Thing-7B-RKLLM")
    assert world.run(EXACT, *HERE).code == 4
    offline = world.run(EXACT, *HERE, "--offline")
    assert offline.code == 11
    assert "switched off" in offline.err
    world.hub.stop_accepting()
    unreachable = world.run(EXACT, *HERE)
    assert unreachable.code == 6
    world.hub.start_accepting()
    world.add("thing.rkllm", repo="someone/Thing-7B-RKLLM")
    assert world.run(EXACT, *HERE).code == 0


def test_13_two_processes_download_it_once(qwen: World) -> None:
    both = [qwen.start("qwen2.5-1.5b", *HERE, "--quiet") for _ in range(2)]
    outs = [p.communicate(timeout=60) for p in both]
    assert [p.returncode for p in both] == [0, 0], outs
    assert outs[0][0] == outs[1][0]
    assert qwen.hub.data_bytes("*_w4a16.rkllm") < SIZE * 1.5


def test_13_no_home_no_terminal_locale_c(qwen: World) -> None:
    done = qwen.run("qwen2.5-1.5b", *HERE, "--json", "--quiet", LC_ALL="C", PYTHONUTF8="0")
    assert done.code == 0
    assert done.json["status"] == "ok"
    assert done.err == ""
    assert not any(ord(c) < 32 and c != "\n" for c in done.out)


def test_a_reader_that_leaves_early_is_no_error(qwen: World) -> None:
    command = f"{RKFETCH} show qwen2.5-1.5b | head -1; echo ${{PIPESTATUS[0]}}"
    done = subprocess.run(
        ["bash", "-c", command], env=qwen.env, check=True, capture_output=True, text=True
    )
    assert "Traceback" not in done.stderr
    assert done.stdout.splitlines()[-1] == "0"
    full = subprocess.run(
        ["bash", "-c", f"{RKFETCH} explain qwen2.5-1.5b --runtime 1.2.3 >/dev/full; echo $?"],
        env=qwen.env,
        check=True,
        capture_output=True,
        text=True,
    )
    assert full.stdout == "1\n"
    assert "the answer cannot be written" in full.stderr


def test_the_module_runs_as_the_command_does(qwen: World) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "rkfetch", "resolve", "qwen2.5-1.5b", *HERE, "--quiet"],
        env=qwen.env,
        check=True,
        capture_output=True,
        text=True,
    )
    assert done.stdout == f"hf:{QWEN}/{W4}\n"
