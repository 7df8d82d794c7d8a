"""What to do about each symptom, with the figures of the log and of the board."""

from __future__ import annotations

import shlex
from typing import TYPE_CHECKING

from rkfetch.registry.distribution import update_driver, vendor_kernel
from rkfetch.registry.npu_nodes import NpuNode
from rkfetch.registry.remedies import SDK, install_runtime, open_node

if TYPE_CHECKING:
    from collections.abc import Callable

    from .case import Case
    from .log import Hit

STOP_BY_HAND = (
    "or let the program call rkllm_abort when the token in its callback is the model's own end"
)


def todo(case: Case, hit: Hit) -> tuple[str, ...]:
    """Return what to do, the likeliest first."""
    advise = _ADVICE.get(hit.symptom.name)
    return advise(case, hit) if advise else ()


def driver_update(case: Case) -> tuple[str, ...]:
    """Say how the NPU driver is updated on the board of the log."""
    if case.board is None:
        return (*update_driver(None, None).todo, "`rkfetch doctor` on the board tells its own way")
    board = case.board
    return update_driver(board.distribution, board.model, in_container=board.in_container).todo


def _again(case: Case, _hit: Hit) -> tuple[str, ...]:
    if case.subject.installed:
        return (f"rkfetch verify {shlex.quote(case.name)}   # reads every byte", case.fetch())
    return (*case.inspect(), case.fetch())


def _newer(case: Case, hit: Hit) -> tuple[str, ...]:
    return case.mend_versions(at_least=hit.values.get("version"))


def _other_soc(case: Case, _hit: Hit) -> tuple[str, ...]:
    return (case.fetch(),)


def _context(case: Case, hit: Hit) -> tuple[str, ...]:
    limit, asked = hit.values.get("limit") or case.context, hit.values.get("asked")
    steps = [f"start the program with max_context_len {limit} (llm_demo MODEL 512 {limit})"]
    if asked:
        steps.append(case.command(options=f"--context {asked}", remark="a build that has it"))
    return tuple(steps) if limit else tuple(steps[1:])


def _rebuild(case: Case, _hit: Hit) -> tuple[str, ...]:
    version = case.runtime
    tag = f"release-v{version}" if version else "release-vX.Y.Z"
    header = f"{SDK}/blob/{tag}/rkllm-runtime/Linux/librkllm_api/include/rkllm.h"
    return (
        f"build the program anew with {header}",
        "or give it the library that it was built for: LD_LIBRARY_PATH=/folder/of/that/library",
    )


def _prompt(case: Case, hit: Hit) -> tuple[str, ...]:
    prompt = hit.values.get("prompt")
    limit = case.context
    steps = ["send less, or start the program with a longer context"]
    if limit is not None and prompt is not None and int(prompt) < limit:
        steps = [f"start the program with a longer context: the file has {limit} tokens"]
    if prompt is not None:
        wanted = max(4096, 1 << int(prompt).bit_length())
        remark = "a build with room for it"
        steps.append(case.command(options=f"--context {wanted}", remark=remark))
    return tuple(steps)


def _cpus(case: Case, _hit: Hit) -> tuple[str, ...]:
    cores = case.load.npu_cores if case.load else None
    return (f"give it {cores or 'as many'} CPUs (enabled_cpus_num), or none: it chooses itself",)


def _modelfile(case: Case, _hit: Hit) -> tuple[str, ...]:
    return (case.command(options="--for rkllama", remark="puts it there, with its Modelfile"),)


def _vision(_case: Case, _hit: Hit) -> tuple[str, ...]:
    library = "raw/master/rknpu2/runtime/Linux/librknn_api/aarch64/librknnrt.so"
    return (
        f"curl -LO https://github.com/airockchip/rknn-toolkit2/{library}",
        "sudo install -m 644 librknnrt.so /usr/lib/ && sudo ldconfig",
    )


def _cores(case: Case, _hit: Hit) -> tuple[str, ...]:
    count = case.board.npu_cores if case.board else None
    cores = count or (case.platform.npu_cores if case.platform else None)
    said = f"at most {cores}" if cores else "at most what the chip has"
    return (f"ask the program for {said} NPU cores",)


def _files(_case: Case, _hit: Hit) -> tuple[str, ...]:
    return ("ulimit -n 10240   # before the program; LimitNOFILE=10240 in a systemd unit",)


def _tokenizer(_case: Case, _hit: Hit) -> tuple[str, ...]:
    return (
        "start it once where the network is there, with the same user, then set HF_HUB_OFFLINE=1",
        "or name a mirror that the board reaches: export HF_ENDPOINT=https://hf-mirror.com",
    )


def _library(case: Case, _hit: Hit) -> tuple[str, ...]:
    copy = next((r for r in case.board.runtimes if r.counts), None) if case.board else None
    if copy is not None:
        return (f"export LD_LIBRARY_PATH={copy.path.rpartition('/')[0]}", "sudo ldconfig")
    return (*case.other_runtime(), "export LD_LIBRARY_PATH=./lib   # beside Rockchip's llm_demo")


def _machine(case: Case, _hit: Hit) -> tuple[str, ...]:
    machine = case.board.machine if case.board else None
    version = case.runtime
    steps = install_runtime(version, machine=machine) if version else case.other_runtime()
    return ("file PROGRAM librkllmrt.so   # both must be for this processor", *steps)


def _glibc(_case: Case, _hit: Hit) -> tuple[str, ...]:
    return (
        "build the program on this board, or with a compiler for its release",
        "or run it in a container of a newer release, or update the board's system",
    )


def _npu(case: Case, _hit: Hit) -> tuple[str, ...]:
    board = case.board
    if board is None:
        return ("rkfetch doctor   # on the board: whether driver and device are there",)
    if board.has_rocket:
        return vendor_kernel(board.distribution).todo
    if board.in_container:
        return ("start the container with --device /dev/dri (or --device /dev/rknpu)",)
    closed = [n for n in board.npu_nodes or () if not n.openable]
    if closed:
        return open_node(closed[0])
    if board.driver is None and board.npu_nodes is not None and not board.npu_nodes:
        return ("sudo dmesg | grep -i rknpu", *vendor_kernel(board.distribution).todo)
    return (
        "start the program with sudo once: if that helps, it is the device's permissions",
        *open_node(NpuNode(path="/dev/dri/renderD129", openable=False)),
    )


def _chip(case: Case, _hit: Hit) -> tuple[str, ...]:
    if case.platform is None:
        return ("RKLLM runs on RK3576, RK3588, RK3562 and RV1126B; on another chip nothing helps",)
    name = case.platform.value
    return (
        f"the board is a {name}, and its kernel does not say so: boot the vendor's kernel",
        f"tr '\\0' '\\n' < /proc/device-tree/compatible   # must have rockchip,{name}",
    )


def _memory(case: Case, hit: Hit) -> tuple[str, ...]:
    steps = []
    if hit.symptom.name == "npu-memory" and case.driver is None:
        steps.append("sudo cat /sys/kernel/debug/rknpu/version   # must be 0.9.7 or later")
    options = "" if case.board else "--memory 4G"
    steps += [
        case.command("explain", options=options, remark="which builds fit; w4a16 takes less"),
        "stop other programs (a desktop takes hundreds of MB), or ask for a shorter context",
    ]
    return tuple(steps)


def _reboot(_case: Case, _hit: Hit) -> tuple[str, ...]:
    return ("sudo reboot", "if it comes again: a newer driver, a better power supply or cooling")


def _endless(case: Case, _hit: Hit) -> tuple[str, ...]:
    return (
        *case.mend_versions(),
        STOP_BY_HAND,
    )


def _failed(case: Case, _hit: Hit) -> tuple[str, ...]:
    return (
        "RKLLM_LOG_LEVEL=2 before the program shows more",
        *case.inspect(),
        "rkfetch doctor   # on the board",
    )


def _quant(_case: Case, _hit: Hit) -> tuple[str, ...]:
    return ("rkfetch convert MODEL --platform rk3588   # chooses one that the toolkit builds",)


def _driver(case: Case, _hit: Hit) -> tuple[str, ...]:
    return driver_update(case)


_ADVICE: dict[str, Callable[[Case, Hit], tuple[str, ...]]] = {
    **dict.fromkeys(("old-magic", "bad-magic", "no-model", "cut-file"), _again),
    "lfs-pointer": lambda case, _hit: (case.fetch_again(),),
    **dict.fromkeys(("newer-file", "architecture", "rope", "assertion"), _newer),
    "other-soc": _other_soc,
    "quant-of-soc": _quant,
    "context": _context,
    "prompt": _prompt,
    "few-cpus": _cpus,
    "modelfile": _modelfile,
    "vision-soc": _other_soc,
    "vision-version": _vision,
    "abi": _rebuild,
    "library-symbol": _rebuild,
    "core-mask": _cores,
    "open-files": _files,
    "tokenizer-online": _tokenizer,
    "no-library": _library,
    "library-machine": _machine,
    "glibc": _glibc,
    **dict.fromkeys(("no-driver", "no-permission"), _npu),
    "unknown-chip": _chip,
    "query-platform": _newer,
    **dict.fromkeys(("npu-memory", "oom", "no-memory", "killed"), _memory),
    **dict.fromkeys(("matmul", "driver-warning"), _driver),
    "npu-hung": _reboot,
    **dict.fromkeys(("eos", "garbage"), _endless),
    **dict.fromkeys(("load-failed", "crash"), _failed),
    "model-too-old": lambda case, _hit: (case.fetch(),),
    "weights-of-32-bit": lambda _case, _hit: (
        "use a 64-bit system, or a smaller or lower quantised model",
    ),
}
