"""What a conversion would do, and why: decided before anything is fetched, installed or run. Pure.

Each decision keeps its reason and, where there is one, the public source of its rule.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from rkfetch.registry.compat import DEFAULT_CONTEXT, QUANTS, Level, judge_pair
from rkfetch.registry.errors import ConversionUnavailableError, MemoryFitError, UsageError
from rkfetch.registry.memory import Fit, fit
from rkfetch.registry.memory import estimate as board_memory
from rkfetch.registry.model import Artifact, Evidence, Origin, Platform, Quant, settle
from rkfetch.registry.versions import Version

from .architectures import CHANGELOG, is_multimodal, supported_since
from .convention import file_name
from .job import Job
from .needs import MEMORY_SOURCE, estimate
from .toolkits import REPOSITORY, TOOLKITS

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from pathlib import Path

    from rkfetch.registry.model import Target

    from .base import BaseModel
    from .needs import Needs
    from .toolkits import Toolkit

MOST_CONTEXT = 16384
CONTEXT_STEP = 32
DTYPES = ("float32", "float16", "bfloat16")
DEVICES = ("cpu", "cuda")
_GUIDE = f"{REPOSITORY}/tree/release-v1.3.0/doc"
_ISSUES = f"{REPOSITORY}/issues"
_DEFAULT_QUANTS = {
    Platform.RK3576: "w4a16",
    Platform.RV1126B: "w4a16",
    Platform.RK3588: "w8a8",
    Platform.RK3562: "w8a8",
}
_PLATFORM_SINCE = {Platform.RK3562: Version("1.2.0b0"), Platform.RV1126B: Version("1.2.1")}
_GROUPS_SINCE = Version("1.1.0")
_TAKES_GRQ = Version("1.2.0b0")


@dataclass(frozen=True, slots=True, kw_only=True)
class Wishes:
    """What a user insists on; None leaves it to the plan."""

    toolkit: Version | None = None
    algorithm: str | None = None
    level: int | None = None
    npu_cores: int | None = None
    hybrid_rate: float | None = None
    dataset: Path | None = None
    dtype: str | None = None
    device: str | None = None
    allow_risky: bool = False
    allow_unverified: bool = False
    force: bool = False
    """Try what no release names, and what would not fit the board's memory."""
    wheel: Toolkit | None = None
    """The release of a wheel that the user has."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Decision:
    """One thing that was decided."""

    name: str
    value: str
    why: str
    source: str | None = None
    """Public address of the rule or figure."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """A conversion."""

    base: BaseModel
    target: Target
    toolkit: Toolkit
    quant: Quant
    algorithm: str
    level: int
    npu_cores: int
    context: int
    hybrid_rate: float | None
    dataset: Path | None
    dtype: str
    device: str
    needs: Needs
    decisions: tuple[Decision, ...]
    notes: tuple[str, ...] = field(default=())
    """What the user should know before it begins."""

    @property
    def file_name(self) -> str:
        """The name that says all that a file's name can: model, SoC, quantisation, context."""
        return file_name(
            self.base.name, self.target.platform, self.quant, self.toolkit.version, self.context
        )

    @property
    def parameters(self) -> dict[str, Any]:
        """What makes the file what it is, for its record."""
        return {
            "toolkit": str(self.toolkit.version),
            "platform": self.target.platform.value,
            "quant": str(self.quant),
            "algorithm": self.algorithm,
            "optimization_level": self.level,
            "npu_cores": self.npu_cores,
            "context": self.context,
            "hybrid_rate": self.hybrid_rate,
            "dataset": self.dataset.name if self.dataset else None,
            "dtype": self.dtype,
            "device": self.device,
        }

    def job(self, model: Path, output: Path) -> Job:
        """Return what the driver is told; only arguments that this release has are named."""
        toolkit, is_quantised = self.toolkit, self.quant.weight_bits < 16
        load: dict[str, Any] = {}
        if not self.base.is_gguf:
            load["device"] = self.device
            if toolkit.has_context:
                load["dtype"] = self.dtype
        build: dict[str, Any] = {
            "do_quantization": is_quantised,
            "optimization_level": self.level,
            "target_platform": self.target.platform.value,
        }
        if is_quantised:
            build["quantized_dtype"] = str(self.quant)
        if toolkit.has_algorithm:
            build["quantized_algorithm"] = self.algorithm
            build["num_npu_core"] = self.npu_cores
            if self.hybrid_rate is not None:
                build["hybrid_rate"] = self.hybrid_rate
        if toolkit.has_context:
            build["max_context"] = self.context
        return Job(model=model, output=output, dataset=self.dataset, load=load, build=build)


def make_plan(
    base: BaseModel,
    target: Target,
    wishes: Wishes | None = None,
    *,
    toolkits: Sequence[Toolkit] = TOOLKITS,
) -> Plan:
    """Decide how a base model would be converted for a board.

    Raises:
        UsageError: a wish is impossible, or the board's runtime is not known.
        ConversionUnavailableError: no toolkit that the runtime accepts can do it, or the model's
            code lies in another repository.
        MemoryFitError: the result would not fit in the board's memory.
    """
    wishes = wishes or Wishes()
    task = _Planner(base, target, wishes, toolkits)
    return task.plan()


class _Planner:
    """Decides one thing after the other, and notes why."""

    def __init__(
        self, base: BaseModel, target: Target, wishes: Wishes, toolkits: Sequence[Toolkit]
    ) -> None:
        self._base = base
        self._target = target
        self._wishes = wishes
        self._toolkits = [wishes.wheel] if wishes.wheel else list(toolkits)
        self._decisions: list[Decision] = []
        self._notes: list[str] = []

    def plan(self) -> Plan:
        base, wishes = self._base, self._wishes
        self._decide("base model", base.words, _size_words(base), _hub_page(base))
        _require_all_code(base)
        toolkit = self._toolkit()
        quant = self._quant(toolkit)
        device = wishes.device or "cpu"
        algorithm = self._algorithm(toolkit, quant, device)
        level = self._level(quant)
        cores = self._cores()
        context = self._context(toolkit)
        dataset = self._dataset(toolkit, quant)
        hybrid = self._hybrid(toolkit)
        dtype = self._dtype(toolkit)
        self._decide("device", device, "as asked" if wishes.device else "works everywhere")
        self._warn(toolkit)
        needs = estimate(base, quant, dtype=dtype, level=level, device=device)
        plan = Plan(
            base=base,
            target=replace(self._target, quant=quant),
            toolkit=toolkit,
            quant=quant,
            algorithm=algorithm,
            level=level,
            npu_cores=cores,
            context=context,
            hybrid_rate=hybrid,
            dataset=dataset,
            dtype=dtype,
            device=device,
            needs=needs,
            decisions=tuple(self._decisions),
            notes=tuple(self._notes),
        )
        self._require_board_memory(plan)
        return plan

    def _decide(self, name: str, value: object, why: str, source: str | None = None) -> None:
        self._decisions.append(Decision(name=name, value=str(value), why=why, source=source))

    # --- the toolkit ----------------------------------------------------------------------------

    def _toolkit(self) -> Toolkit:
        runtime, wishes = self._target.runtime, self._wishes
        if wishes.toolkit is not None:
            return self._wished_toolkit(wishes.toolkit)
        if runtime is None:
            raise UsageError(
                "which toolkit to use depends on the board's runtime, which is not known",
                cause=["a runtime refuses files of a newer toolkit than itself"],
                hint="say --runtime X.Y.Z (`rkfetch doctor` on the board shows it), or fix the "
                "toolkit with --toolkit X.Y.Z",
            )
        accepted = list(self._accepted(runtime))
        if not accepted:
            raise ConversionUnavailableError(
                f"no toolkit makes files that runtime {runtime} is known to load well",
                hint="--toolkit X.Y.Z takes one all the same",
            )
        since = self._since()
        able = [t for t in accepted if since is None or t.version >= since]
        if not able:
            newest = accepted[0].version
            raise ConversionUnavailableError(
                f"{self._base.name} cannot be converted for runtime {runtime}",
                cause=[
                    f"{self._base.architecture} needs toolkit {since} or later",
                    f"runtime {runtime} loads files of toolkits up to {newest}",
                ],
                hint=f"update librkllmrt.so on the board to {since} or later, then say --runtime",
            )
        chosen = able[0]
        why = f"the newest that runtime {runtime} accepts"
        if since is not None:
            why += f", and {self._base.architecture} needs {since} or later"
        self._decide("toolkit", chosen.version, why, CHANGELOG)
        return chosen

    def _wished_toolkit(self, version: Version) -> Toolkit:
        found = next((t for t in self._toolkits if t.version == version), None)
        if found is None or not (found.wheels and (found.is_public or self._wishes.wheel)):
            known = ", ".join(str(t.version) for t in self._toolkits if t.is_public)
            raise UsageError(
                f"toolkit {version} is not known", cause=[f"these can be had: {known}"]
            )
        runtime = self._target.runtime
        verdict = judge_pair(version, runtime, self._base.name) if runtime else None
        if verdict is not None and verdict.level is Level.INCOMPATIBLE:
            raise UsageError(
                f"runtime {runtime} would not load what toolkit {version} makes",
                cause=[reason.text for reason in verdict.reasons],
                hint="leave --toolkit out: the newest that fits is taken",
            )
        if verdict is not None and verdict.level in {Level.RISKY, Level.UNKNOWN}:
            self._notes += [reason.text for reason in verdict.reasons]
        since = self._since()
        if since is not None and version < since and not self._wishes.force:
            raise UsageError(
                f"toolkit {version} does not know {self._base.architecture}",
                cause=[f"it came with {since}"],
                hint="--force tries it all the same",
            )
        self._decide("toolkit", version, "as asked")
        return found

    def _accepted(self, runtime: Version) -> Iterator[Toolkit]:
        """Yield the releases whose files the runtime loads well, newest first."""
        levels = {Level.EXACT, Level.COMPATIBLE}
        if self._wishes.allow_risky:
            levels.add(Level.RISKY)
        if self._wishes.allow_unverified:
            levels.add(Level.UNKNOWN)
        for toolkit in sorted(self._toolkits, key=lambda t: t.version, reverse=True):
            is_offered = toolkit.is_public or toolkit is self._wishes.wheel
            fits_beta = not toolkit.version.is_prerelease or toolkit.version == runtime
            platform_since = _PLATFORM_SINCE.get(self._target.platform)
            has_platform = platform_since is None or toolkit.version >= platform_since
            if is_offered and fits_beta and has_platform:
                verdict = judge_pair(toolkit.version, runtime, self._base.name)
                if verdict.level in levels:
                    yield toolkit

    def _since(self) -> Version | None:
        """Return the first release that converts the model's architecture.

        Raises:
            ConversionUnavailableError: none is known to.
        """
        architecture = self._base.architecture
        since = supported_since(architecture) if architecture else None
        if since is None and not self._wishes.force:
            raise ConversionUnavailableError(
                f"no toolkit release names {architecture or 'the architecture'} of "
                f"{self._base.name} among what it converts",
                cause=[f"what each release converts: {CHANGELOG}"],
                hint="--force tries it all the same",
            )
        return since

    # --- quantisation ---------------------------------------------------------------------------

    def _quant(self, toolkit: Toolkit) -> Quant:
        base, wanted, platform = self._base, self._target.quant, self._target.platform
        allowed = allowed_quants(platform, toolkit)
        fixed = _fixed_quant(base)
        if fixed is not None:
            if wanted not in {None, fixed}:
                raise UsageError(
                    f"{base.name} is quantised already ({base.quantised}), as {fixed}",
                    cause=[f"it cannot become {wanted}"],
                    hint="convert the model that it was made from, or leave the quantisation out",
                )
            quant, why = fixed, f"its weights are quantised already ({base.quantised})"
        elif base.quantised is not None:
            raise ConversionUnavailableError(
                f"{base.name} is quantised already ({base.quantised}), in a way that no toolkit "
                "reads",
                cause=[
                    "it takes plain weights, GGUF in fp16 or q4_0, and GPTQ of 4 or 8 bits",
                    "GPTQ has to be symmetric, and without desc_act",
                ],
                hint="convert the model that it was made from",
            )
        elif wanted is not None:
            quant, why = wanted, "as asked"
        else:
            quant = Quant.parse(_DEFAULT_QUANTS[platform])
            four_bits = quant.weight_bits == 4
            what = "smaller and faster than w8a8 there" if four_bits else "its plain type"
            why = f"{platform.value}: {what}"
        if str(quant) not in allowed:
            raise UsageError(
                f"toolkit {toolkit.version} does not build {quant} for {platform.value}",
                cause=[f"it builds {', '.join(sorted(allowed))}"],
                hint="say one of them behind an @, like MODEL@" + max(allowed),
            )
        self._decide("quantisation", quant, why, _GUIDE)
        return quant

    def _algorithm(self, toolkit: Toolkit, quant: Quant, device: str) -> str:
        wanted = self._wishes.algorithm
        four_bits = quant.family == "w4a16"
        if wanted in {None, "normal"}:
            better = four_bits and device == "cuda" and toolkit.version >= _TAKES_GRQ
            chosen = "grq" if wanted is None and better and not self._base.quantised else "normal"
        elif wanted == "grq":
            if not four_bits or toolkit.version < _TAKES_GRQ:
                raise UsageError("grq is for w4a16 kinds, with toolkit 1.2.0 or later")
            if device != "cuda":
                raise UsageError("grq needs a GPU", hint="say --device cuda, or leave it out")
            chosen = wanted
        else:
            raise UsageError(
                f"unknown algorithm '{wanted}'", cause=["normal and grq can be chosen"]
            )
        why = "needs no GPU" if chosen == "normal" else "more exact for 4 bits; it needs the GPU"
        self._decide("algorithm", chosen, "as asked" if wanted else why, _GUIDE)
        return chosen

    def _level(self, quant: Quant) -> int:
        wanted = self._wishes.level
        if wanted is not None:
            if wanted not in {0, 1}:
                raise UsageError("the optimisation level is 0 or 1")
            self._decide("optimisation", wanted, "as asked")
            return wanted
        if quant.weight_bits == 16 or self._base.quantised:
            self._decide("optimisation", 0, "there is nothing to calibrate")
            return 0
        if quant.weight_bits == 4 and quant.group:
            why = "at level 1 newer toolkits were seen to make w8a8 of grouped w4a16"
            self._decide("optimisation", 0, why, f"{REPOSITORY}/blob/main/benchmark.md")
            return 0
        why = "more exact, as in the vendor's examples; 0 takes minutes instead"
        self._decide("optimisation", 1, why, f"{REPOSITORY}/tree/release-v1.2.3/examples")
        return 1

    # --- cores, context, data -------------------------------------------------------------------

    def _cores(self) -> int:
        most, wanted = self._target.platform.npu_cores, self._wishes.npu_cores
        if wanted is not None and not 1 <= wanted <= most:
            raise UsageError(f"{self._target.platform.value} has {most} NPU cores, not {wanted}")
        why = "as asked" if wanted else f"all that {self._target.platform.value} has"
        self._decide("NPU cores", wanted or most, why, _GUIDE)
        return wanted or most

    def _context(self, toolkit: Toolkit) -> int:
        wanted = self._target.context
        if not toolkit.has_context:
            if wanted is not None and wanted > DEFAULT_CONTEXT:
                raise ConversionUnavailableError(
                    f"toolkit {toolkit.version} builds for a context of {DEFAULT_CONTEXT} only",
                    cause=[f"{wanted} was asked; toolkits from 1.2.0 on let it be chosen"],
                    hint="ask for less, or update the board's runtime to 1.2.0 or later",
                )
            self._decide("context", DEFAULT_CONTEXT, f"fixed in toolkit {toolkit.version}")
            return DEFAULT_CONTEXT
        if wanted is None:
            usual = min(DEFAULT_CONTEXT, self._base.context or DEFAULT_CONTEXT)
            chosen = max(CONTEXT_STEP, usual // CONTEXT_STEP * CONTEXT_STEP)
            self._decide("context", chosen, "the toolkit's own; more takes more memory", _GUIDE)
            return chosen
        if wanted > MOST_CONTEXT:
            raise ConversionUnavailableError(
                f"no toolkit builds for a context of {wanted}",
                cause=[f"{MOST_CONTEXT} is the most ({_GUIDE})"],
                hint=f"ask for --context {MOST_CONTEXT}",
            )
        chosen = -(-wanted // CONTEXT_STEP) * CONTEXT_STEP
        why = "as asked" if chosen == wanted else f"{wanted}, rounded up to a multiple of 32"
        self._decide("context", chosen, why, _GUIDE)
        if self._base.context is not None and chosen > self._base.context:
            self._notes.append(
                f"{self._base.name} was trained for a context of {self._base.context}: beyond "
                "that its answers get worse"
            )
        return chosen

    def _dataset(self, toolkit: Toolkit, quant: Quant) -> Path | None:
        given = self._wishes.dataset
        if given is not None and not toolkit.has_algorithm:
            raise UsageError(f"toolkit {toolkit.version} takes no calibration data of one's own")
        if given is not None:
            self._decide("calibration data", given.name, "as asked")
            return given
        if self._base.quantised or quant.weight_bits == 16:
            self._decide("calibration data", "none", "there is nothing to calibrate")
        else:
            self._decide(
                "calibration data",
                "the toolkit's own",
                "about 50 of your own samples (--dataset) suit a special use better",
                f"{_ISSUES}/363",
            )
        return None

    def _hybrid(self, toolkit: Toolkit) -> float | None:
        rate = self._wishes.hybrid_rate
        if rate is None:
            return None
        if not 0 <= rate < 1:
            raise UsageError("the hybrid rate is at least 0 and less than 1")
        if not toolkit.has_algorithm:
            raise UsageError(f"toolkit {toolkit.version} has no hybrid rate")
        self._decide("hybrid rate", rate, "as asked", _GUIDE)
        return rate

    def _dtype(self, toolkit: Toolkit) -> str:
        wanted = self._wishes.dtype
        if wanted not in {None, *DTYPES}:
            raise UsageError(f"unknown load type '{wanted}'", cause=[f"it is {', '.join(DTYPES)}"])
        if wanted not in {None, "float32"} and not toolkit.has_context:
            raise UsageError(
                f"toolkit {toolkit.version} loads at float32 only", hint="1.2.0 and later can"
            )
        why = "as asked" if wanted else "the most exact; half types take half the memory"
        self._decide("load type", wanted or "float32", why, MEMORY_SOURCE)
        return wanted or "float32"

    # --- what else ------------------------------------------------------------------------------

    def _warn(self, toolkit: Toolkit) -> None:
        base = self._base
        if base.is_gguf and not toolkit.has_algorithm:
            raise UsageError(f"toolkit {toolkit.version} reads no GGUF files; 1.1.0 and later do")
        if base.architecture and is_multimodal(base.architecture):
            self._notes.append(
                "only the language part is converted; the vision part is an .rknn file that "
                "rknn-toolkit2 makes"
            )
        if base.code:
            names = ", ".join(base.code.all[:3])
            self._notes.append(f"the model brings code, which the toolkit runs: {names}")

    def _require_board_memory(self, plan: Plan) -> None:
        memory = self._target.memory_bytes
        build = _as_artifact(plan)
        need = board_memory(build)
        if fit(need, memory) is not Fit.TOO_LARGE or self._wishes.force:
            return
        assert need is not None
        assert memory is not None
        raise MemoryFitError(
            f"{plan.base.name} as {plan.quant} would not fit in the board's memory",
            cause=[
                f"it takes about {need.size_bytes / 1e9:.1f} GB, the board has {memory / 1e9:.1f}"
            ],
            hint="a smaller model, a smaller --context, or @w4a16 where the SoC has it; --force "
            "converts it all the same",
        )


def allowed_quants(platform: Platform, toolkit: Toolkit) -> frozenset[str]:
    """Return what a release builds for a SoC (SDK guides, table 3-3)."""
    names = QUANTS[platform]
    if toolkit.version < _GROUPS_SINCE:
        return frozenset(n for n in names if "_g" not in n)
    return names


def _require_all_code(base: BaseModel) -> None:
    """Refuse a model whose code lies elsewhere: the toolkit, without a network, cannot load it."""
    if not base.code.elsewhere:
        return
    where = ", ".join(base.code.elsewhere[:3])
    more = len(base.code.elsewhere) - 3
    if more > 0:
        where += f" and {more} more"
    raise ConversionUnavailableError(
        f"{base.name} asks for code of another repository: {where}",
        cause=[
            "the toolkit runs without a network, with what lies in the model's folder alone",
            *(entry for entry in base.code.entries if "--" in entry),
        ][:4],
        hint="in a local folder of the model, put that repository's .py files beside config.json, "
        "and cut OWNER/NAME-- out of the names under auto_map; then convert the folder: "
        f"rkfetch convert ./{base.name}",
    )


def _fixed_quant(base: BaseModel) -> Quant | None:
    """Return the type that weights which are quantised already become; None for all others.

    GPTQ has to be symmetric and without ``desc_act`` (SDK guides from 1.1.4 on).
    """
    if base.quantised == "q4_0":
        return Quant(4, 16, 32)
    if base.quantised != "gptq" or base.symmetric is False or base.reordered:
        return None
    if base.bits == 4 and base.group in {32, 64, 128}:
        return Quant(4, 16, base.group)
    if base.bits == 8 and base.group in {128, 256, 512}:
        return Quant(8, 8, base.group)
    return None


def _as_artifact(plan: Plan) -> Artifact:
    said: Mapping[str, object] = {
        "quant": plan.quant,
        "context": plan.context,
        "params_b": (plan.base.parameters or 0) / 1e9 or None,
    }
    return Artifact(
        source="folder",
        repo="",
        path=plan.file_name,
        attributes=settle(
            Evidence(attribute=name, value=str(value), origin=Origin.FILE_NAME, place="plan")
            for name, value in said.items()
            if value is not None
        ),
    )


def _size_words(base: BaseModel) -> str:
    said = [base.architecture or "its architecture is not known"]
    if base.parameters:
        billions = base.parameters / 1e9
        size = f"{billions:.1f} billion" if billions >= 0.1 else f"{billions * 1000:.1f} million"
        said.append(f"{size} parameters")
    if base.licence:
        said.append(f"licence {base.licence}")
    return ", ".join(said)


def _hub_page(base: BaseModel) -> str | None:
    return f"https://huggingface.co/{base.hub_id}" if base.hub_id else None
