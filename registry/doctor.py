"""Judge a board's facts: what is wrong, why it matters, and what to do about it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from .compat import DRIVER_ADVISED, DRIVER_CLEAN, DRIVER_W8A8
from .distribution import update_driver, vendor_kernel
from .finding import Finding, Severity
from .model import Platform
from .remedies import ADVISED, SDK, install_runtime, open_node
from .runtimes import disagreement
from .surroundings import about_network, about_settings, about_store
from .versions import Version

if TYPE_CHECKING:
    from collections.abc import Iterator

    from .surroundings import Surroundings
    from .target import Board

_ISSUES = f"{SDK}/issues/"
_EOS_CHANGED = Version("1.3.0")
_FIRST_OF_LINEAGE = Version("1.1.0")
_FIRST_CHECKING = Version("1.2.0")
_LEAST_MEMORY = 1_500_000_000
_LEAST_AVAILABLE = 700_000_000
"""Qwen3-0.6B w4a16 takes 513 MB, w8a8 796 MB (benchmark.md of release 1.3.0)."""
_FEW_OPEN_FILES = 1024


def examine(board: Board, surroundings: Surroundings | None = None) -> tuple[Finding, ...]:
    """Turn facts into findings, worst first; ``surroundings`` only for the machine we run on."""
    findings = list(_about_platform(board))
    is_supported = board.platform is not None
    in_container = not board.on_board and any(found.counts for found in board.runtimes)
    if is_supported or in_container:
        findings += _about_runtime(board)
        findings += _about_copies(board)
    if is_supported:
        findings += _about_driver(board)
        findings += _about_nodes(board)
        findings += _about_memory(board)
        findings += _about_process(board)
    if surroundings is not None:
        findings += about_settings(surroundings)
        findings += about_store(surroundings)
        findings += about_network(surroundings)
    return tuple(sorted(findings, key=lambda finding: finding.severity.rank))


# --- the board ---------------------------------------------------------------------------------


def _about_platform(board: Board) -> Iterator[Finding]:
    known = ", ".join(p.value for p in Platform)
    if not board.on_board:
        todo = ["describe the board: --platform, --runtime, --memory (its own doctor tells them)"]
        if board.in_container:
            todo.append("a container hides the device tree unless it is started with --privileged")
        yield Finding(
            rule="no-board",
            severity=Severity.NOTE,
            text="this is no Rockchip board, as far as can be seen",
            why=f"rkfetch then resolves for {Platform.RK3576.value}, and the runtime's version "
            "must be given",
            todo=tuple(todo),
        )
    elif board.platform is None:
        yield Finding(
            rule="platform",
            severity=Severity.PROBLEM,
            text=f"RKLLM does not run on {(board.platform_name or '').upper()}",
            why=f"its runtime supports {known} only, and stops with 'Platform error' elsewhere",
            todo=("to fetch for another board, name its SoC: --platform rk3576",),
            source=f"{_ISSUES}416",
        )
    else:
        yield from _about_chip(board, board.platform)


def _about_chip(board: Board, platform: Platform) -> Iterator[Finding]:
    cores = board.npu_cores
    if cores == platform.npu_cores:
        yield Finding(
            rule="platform",
            severity=Severity.OK,
            text=f"{(board.platform_name or platform.value).upper()} runs RKLLM files made for "
            f"{platform.value}",
            source=SDK,
        )
        return
    name = (board.platform_name or platform.value).upper()
    count = "an unknown number of" if cores is None else str(cores)
    yield Finding(
        rule="npu-cores",
        severity=Severity.WARNING,
        text=f"{name} has {count} NPU cores, and files for {platform.value} may be built for "
        f"{platform.npu_cores}",
        why="a file built for more cores than the chip has may fail when it is loaded",
        todo=("prefer files built for fewer cores; `rkfetch inspect FILE` shows npu_cores",),
        source=f"{SDK}/tree/main/rknpu-driver",
    )


def _about_runtime(board: Board) -> Iterator[Finding]:
    if board.runtime is None:
        yield _missing_runtime(board)
    elif board.runtime < _FIRST_OF_LINEAGE:
        yield Finding(
            rule="runtime",
            severity=Severity.PROBLEM,
            text=f"runtime {board.runtime} loads no file of toolkit 1.1.0 or later",
            why="the format changed with 1.1.0",
            todo=_install(board),
            source=f"{SDK}/blob/release-v1.1.0/README.md",
        )
    elif board.runtime < _FIRST_CHECKING:
        yield Finding(
            rule="runtime",
            severity=Severity.WARNING,
            text=f"runtime {board.runtime} is old: files of toolkit 1.2.0 and later fail on it",
            why="a 1.2.1 file crashes runtime 1.1.4; older files load on newer runtimes",
            todo=_install(board),
            source=f"{_ISSUES}389",
        )
    elif board.runtime.is_prerelease:
        yield Finding(
            rule="runtime",
            severity=Severity.NOTE,
            text=f"runtime {board.runtime} is a beta, and refuses files of later toolkits",
            todo=_install(board),
            source=f"{SDK}/releases",
        )
    elif board.runtime >= _EOS_CHANGED:
        yield _new_runtime(board.runtime)
    else:
        yield Finding(
            rule="runtime",
            severity=Severity.OK,
            text=f"runtime {board.runtime} loads files of toolkits 1.1.0 to {board.runtime}",
            source=f"{_ISSUES}337",
        )


def _new_runtime(runtime: Version) -> Finding:
    later = f"; whether {runtime} mends it is not known" if runtime > _EOS_CHANGED else ""
    return Finding(
        rule="runtime",
        severity=Severity.NOTE,
        text=f"on runtime {runtime}, answers of files made by toolkit 1.2.2 or 1.2.3 may never "
        "stop",
        why="1.3.0 ignores the end-of-sequence token as those toolkits store it" + later,
        todo=("nothing: rkfetch never takes such a file unasked",),
        source=f"{_ISSUES}534",
    )


def _missing_runtime(board: Board) -> Finding:
    chosen = next((found for found in board.runtimes if found.counts), None)
    if chosen is not None:
        return Finding(
            rule="runtime",
            severity=Severity.WARNING,
            text=f"the version of {chosen.path} is unknown",
            why="without it, rkfetch cannot tell which files will load",
            todo=(
                "start any program that uses it: its log begins with `rkllm-runtime version`",
                "then say so: --runtime X.Y.Z (or RKFETCH_RUNTIME=X.Y.Z)",
            ),
        )
    if board.runtimes:
        first = board.runtimes[0]
        text = f"no usable librkllmrt.so: {first.path} ({first.problem})"
    else:
        text = "no librkllmrt.so was found"
    return Finding(
        rule="runtime",
        severity=Severity.PROBLEM,
        text=text,
        why="it is the library that loads models; its version decides which files do",
        todo=(
            *_install(board),
            "if it lies elsewhere: RKLLM_LIB=/path/to/librkllmrt.so rkfetch doctor",
        ),
        source=f"{SDK}/tree/release-v{ADVISED}/rkllm-runtime/Linux/librkllm_api",
    )


def _install(board: Board) -> tuple[str, ...]:
    return (
        *install_runtime(ADVISED, machine=board.machine),
        "`rkfetch doctor MODEL` tells which release that model's builds need",
    )


def _about_copies(board: Board) -> Iterator[Finding]:
    dispute = disagreement(board.runtimes)
    if dispute is None:
        return
    chosen = next(found for found in board.runtimes if found.counts)
    shared = {r.version for r in board.runtimes if r.shared and r.usable}
    yield Finding(
        rule="runtime-copies",
        severity=Severity.PROBLEM if len(shared) > 1 else Severity.WARNING,
        text=dispute,
        why="a program that loads another copy than rkfetch resolves for may refuse the file",
        todo=(
            f"keep one version, or say which counts: RKLLM_LIB={chosen.path} or --runtime X.Y.Z",
        ),
        source="https://github.com/oRKLLM/oRKLLM",
    )


def _about_driver(board: Board) -> Iterator[Finding]:
    driver = board.driver
    if driver is None:
        yield _missing_driver(board)
    elif driver >= DRIVER_ADVISED:
        yield Finding(
            rule="driver",
            severity=Severity.OK,
            text=f"NPU driver {driver} is what RKLLM 1.1.0 and later ask for",
            source=f"{SDK}/tree/main/doc",
        )
    elif driver >= DRIVER_CLEAN:
        yield Finding(
            rule="driver",
            severity=Severity.NOTE,
            text=f"NPU driver {driver} works without a warning; the guides ask for "
            f"{DRIVER_ADVISED}",
            todo=_update_driver(board),
            source=f"{SDK}/tree/main/doc",
        )
    elif driver >= DRIVER_W8A8:
        yield Finding(
            rule="driver",
            severity=Severity.WARNING,
            text=f"NPU driver {driver} is too old: RKLLM asks for {DRIVER_ADVISED}",
            why="the runtime warns and small models answer, but it cannot allocate about 4 GB at "
            "once, whatever memory is free: larger models fail to load",
            todo=_update_driver(board),
            source=f"{_ISSUES}97",
        )
    else:
        yield Finding(
            rule="driver",
            severity=Severity.PROBLEM,
            text=f"NPU driver {driver} is too old: RKLLM asks for {DRIVER_ADVISED}",
            why="models load, and then every w8a8 matrix multiplication fails (seen on 0.8.2)",
            todo=_update_driver(board),
            source=f"{_ISSUES}187",
        )


def _missing_driver(board: Board) -> Finding:
    if board.has_rocket:
        return Finding(
            rule="driver",
            severity=Severity.PROBLEM,
            text="the NPU is run by mainline's rocket driver, which cannot serve RKLLM",
            why="RKLLM needs Rockchip's own rknpu driver, which another kernel brings",
            todo=vendor_kernel(board.distribution).todo,
            source=f"{SDK}/tree/main/rknpu-driver",
        )
    return Finding(
        rule="driver",
        severity=Severity.WARNING,
        text="the NPU driver's version is unknown",
        why=f"RKLLM asks for rknpu {DRIVER_ADVISED}; without rknpu, no model runs",
        todo=("sudo cat /sys/kernel/debug/rknpu/version",),
        source=f"{SDK}/tree/main/doc",
    )


def _update_driver(board: Board) -> tuple[str, ...]:
    return update_driver(board.distribution, board.model, in_container=board.in_container).todo


def _about_nodes(board: Board) -> Iterator[Finding]:
    """Say whether programs of this user reach the NPU; only of the machine we run on."""
    nodes = board.npu_nodes
    if nodes is None or any(node.openable for node in nodes) or board.has_rocket:
        return
    if not nodes:
        todo = ["sudo dmesg | grep -i rknpu   # the driver says there why it has no device"]
        if board.in_container:
            todo = ["start the container with --device /dev/dri (or --device /dev/rknpu)"]
        yield Finding(
            rule="npu-device",
            severity=Severity.WARNING,
            text="there is no device through which programs reach the NPU",
            why="neither /dev/rknpu nor a render node of the rknpu driver is there",
            todo=tuple(todo),
            source=f"{SDK}/tree/main/rknpu-driver",
        )
        return
    paths = " ".join(node.path for node in nodes)
    yield Finding(
        rule="npu-device",
        severity=Severity.WARNING,
        text=f"you may not open {paths}",
        why="programs that you start then say `failed to open rknpu module`",
        todo=open_node(nodes[0]),
        source="https://github.com/rockchip-linux/rknn-toolkit2/issues/244",
    )


def _about_memory(board: Board) -> Iterator[Finding]:
    benchmark = f"{SDK}/blob/main/benchmark.md"
    if board.memory_bytes is not None and board.memory_bytes < _LEAST_MEMORY:
        yield Finding(
            rule="memory",
            severity=Severity.WARNING,
            text=f"{board.memory_bytes // 10**6} MB of memory fit the smallest models only",
            why="Qwen3-0.6B takes 513 MB as w4a16 and 796 MB as w8a8 (measured on RK3576)",
            source=benchmark,
        )
    available = board.memory_available_bytes
    if available is not None and available < _LEAST_AVAILABLE:
        yield Finding(
            rule="memory-available",
            severity=Severity.WARNING,
            text=f"only {available // 10**6} MB of memory are available now",
            why="a model takes all of its memory, context included, when it is loaded",
            todo=("stop what is not needed; a desktop takes hundreds of megabytes",),
            source=f"{_ISSUES}352",
        )
    limit = board.memory_limit_bytes
    if limit is not None and limit < (board.memory_bytes or limit + 1):
        yield Finding(
            rule="memory-limit",
            severity=Severity.NOTE,
            text=f"this container may use {limit // 10**6} MB, less than the board has",
            why="rkfetch resolves for the board's memory; what the container's limit counts of "
            "the NPU's memory depends on the kernel",
            todo=(f"to stay within it: --memory {limit // 2**20}M",),
        )


def _about_process(board: Board) -> Iterator[Finding]:
    if board.machine == "arm":
        yield Finding(
            rule="32-bit",
            severity=Severity.WARNING,
            text="programs here are 32-bit",
            why="32-bit libraries exist from runtime 1.2.1 on, and load weights below 2 GB only",
            source=f"{SDK}/tree/release-v1.2.1/rkllm-runtime/Linux/librkllm_api",
        )
    if board.open_files is not None and board.open_files <= _FEW_OPEN_FILES:
        yield Finding(
            rule="open-files",
            severity=Severity.NOTE,
            text=f"a program may open {board.open_files} files",
            why="RKLLM programs were seen to stop with 'Too many open files'",
            todo=("before starting one: ulimit -n 10240",),
            source=f"{_ISSUES}17",
        )
