"""One conversion as a person sees it: the plan, the questions, the progress, the end.

`rkfetch convert` and `rkfetch MODEL` (where nothing fits) share it.
"""

from __future__ import annotations

import shlex
import sys
from contextlib import closing
from dataclasses import dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rkfetch.registry.errors import RkfetchError, UsageError

from .convert_progress import watching
from .output import emit, human_bytes, safe, say, talks_to_terminal, wrapped

if TYPE_CHECKING:
    from collections.abc import Iterator

    from rkfetch.catalog.database import Catalog
    from rkfetch.registry.convert.base import BaseModel
    from rkfetch.registry.convert.machine import Machine
    from rkfetch.registry.convert.plan import Plan, Wishes
    from rkfetch.registry.convert.preflight import Chosen
    from rkfetch.registry.convert.run import Converted
    from rkfetch.registry.convert.wheels import WheelFile
    from rkfetch.registry.http import Http
    from rkfetch.registry.model import Target

    from .convert_progress import Watching
    from .question import Question


_OF_THIS_MACHINE = {"environment", "toolkit_wheel", "allow_unknown_toolkit", "dataset"}


@dataclass(frozen=True, slots=True, kw_only=True)
class How:
    """What a user may say of how it is converted, option by option."""

    toolkit: str | None = None
    revision: str | None = None
    dtype: str | None = None
    algorithm: str | None = None
    optimization_level: int | None = None
    npu_cores: int | None = None
    hybrid_rate: float | None = None
    dataset: str | None = None
    device: str | None = None
    environment: str = "auto"
    toolkit_wheel: str | None = None
    allow_unknown_toolkit: bool = False
    trust_code: bool = False

    def words(self) -> Iterator[str]:
        """Yield the options as a command line of another machine has them."""
        for item in fields(self):
            value = None if item.name in _OF_THIS_MACHINE else getattr(self, item.name)
            option = "--" + item.name.replace("_", "-")
            if value is True:
                yield option
            elif value not in {None, False, "auto"}:
                yield from (option, str(value))


def command_line(question: Question, how: How, target: Target, *more: str) -> str:
    """Return the command that does the same on another machine."""
    said = ["rkfetch", "convert", question.model, "--platform", target.platform.value]
    if target.runtime is not None:
        said += ["--runtime", str(target.runtime)]
    if target.memory_bytes is not None:
        said += ["--memory", question.memory or f"{target.memory_bytes >> 20}M"]
    if target.context is not None:
        said += ["--context", str(target.context)]
    said += [f"--{n.replace('_', '-')}" for n in ("allow_risky", "force") if getattr(question, n)]
    return shlex.join([*said, *how.words(), *more])


class Conversion:
    """A conversion that is prepared, then carried out."""

    def __init__(self, question: Question, how: How, target: Target, *, quiet: bool) -> None:
        self._question = question
        self._how = how
        self._target = target
        self._quiet = quiet or question.as_json
        self._wheel: WheelFile | None = None
        self._machine: Machine
        self._progress: Watching = watching(json_lines=question.as_json, quiet=quiet)
        self.base: BaseModel
        self.plan: Plan
        self.chosen: Chosen | None = None

    # --- before anything is fetched -------------------------------------------------------------

    def prepare(self, catalog: Catalog, http: Http | None) -> None:
        """Look at machine and model, and make the plan.

        Raises:
            ConversionUnavailableError: this machine cannot convert anything, which costs no
                request; or no toolkit can do it for this board.
            UsageError, MemoryFitError: as `make_plan`.
            UnknownModelError, AuthenticationError, NetworkError: as `base_hub.look_up`.
        """
        from rkfetch.catalog.conversions import subject_of
        from rkfetch.registry.convert.plan import make_plan

        subject = subject_of(self._question.model, catalog.models())
        self.require_pc()
        if subject.path is not None:
            from rkfetch.registry.convert.base_folder import look_at

            self.base = look_at(subject.path)
        else:
            from rkfetch.registry.convert.base_hub import look_up

            assert subject.hub_id is not None
            with _network(http) as client:
                self.base = look_up(
                    subject.hub_id,
                    self._how.revision,
                    http=client,
                    waiting=self._progress.waiting,
                )
        self.plan = make_plan(self.base, _with_quant(self._target, subject.quant), self._wishes())

    def require_pc(self) -> None:
        """Look at this machine; refuse one that cannot convert anything, at no cost.

        Raises:
            ConversionUnavailableError: with the command that does it on a PC, and delivers here.
        """
        from rkfetch.registry.convert.machine import look
        from rkfetch.registry.convert.preflight import require_pc

        self._machine = look()
        require_pc(self._question.model, self._machine, self._elsewhere("--deliver", _this_board()))

    def _wishes(self) -> Wishes:
        from rkfetch.registry.convert.plan import Wishes
        from rkfetch.registry.convert.toolkits import Toolkit, Wheel
        from rkfetch.registry.convert.wheels import accepted_wheel
        from rkfetch.registry.versions import parse_version

        how, wheel = self._how, None
        if how.toolkit_wheel is not None:
            self._wheel = found = accepted_wheel(
                Path(how.toolkit_wheel), allow_unknown=how.allow_unknown_toolkit
            )
            item = Wheel(
                toolkit=found.toolkit,
                python=found.python,
                blob=found.blob,
                sha256=found.sha256,
                url=None,
            )
            wheel = Toolkit(version=found.toolkit, wheels=(item,))
        dataset = Path(how.dataset).absolute() if how.dataset else None
        if dataset is not None and not dataset.is_file():
            raise UsageError(f"there is no calibration data at {dataset}")
        return Wishes(
            toolkit=parse_version(how.toolkit, what="toolkit") if how.toolkit else None,
            algorithm=how.algorithm,
            level=how.optimization_level,
            npu_cores=how.npu_cores,
            hybrid_rate=how.hybrid_rate,
            dataset=dataset,
            dtype=how.dtype,
            device=how.device,
            allow_risky=self._question.allow_risky,
            allow_unverified=self._question.allow_unverified,
            force=self._question.force,
            wheel=wheel,
        )

    def check(self) -> None:
        """Ask whether this machine can do it; raises as `preflight.check`."""
        from rkfetch.registry.convert.here import preflight
        from rkfetch.registry.convert.preflight import parse_wanted
        from rkfetch.registry.store import Store, home

        self.chosen = preflight(
            self.plan,
            self._machine,
            Store(home()),
            wanted=parse_wanted(self._how.environment),
            command=self._elsewhere(),
        )

    def _elsewhere(self, *more: str) -> str:
        return command_line(self._question, self._how, self._target, *more)

    # --- what is said and asked -----------------------------------------------------------------

    def lines(self, *, with_sources: bool = False) -> Iterator[str]:
        """Say the plan, for people."""
        plan, needs = self.plan, self.plan.needs
        yield f"{safe(plan.base.words)}, converted for {plan.target.platform.value}:"
        for decision in plan.decisions:
            if decision.name == "base model":
                yield from wrapped(safe(decision.why), lead="  ")
                continue
            lead = f"  {decision.name:<17} "
            yield from wrapped(f"{safe(decision.value)} ({safe(decision.why)})", lead=lead)
            if decision.source and with_sources:
                yield f"{' ' * len(lead)}{decision.source}"
        from rkfetch.registry.convert.needs import MEMORY_SOURCE
        from rkfetch.registry.convert.preflight import duration

        lead = f"  {'it takes about':<17} "
        disk = human_bytes(needs.download_bytes + needs.work_bytes + needs.environment_bytes)
        parts = f"{human_bytes(needs.download_bytes)} of them the base model"
        if not needs.download_bytes:
            parts = "the base model is here"
        yield from wrapped(
            f"{human_bytes(needs.memory_bytes)} of memory, {disk} of disk ({parts}), and "
            f"{duration(needs.seconds)} after installing and downloading",
            lead=lead,
        )
        if with_sources:
            yield f"{' ' * len(lead)}{MEMORY_SOURCE}"
        yield from wrapped(
            f"{plan.file_name}, about {human_bytes(needs.output_bytes)}", lead=f"  {'file':<17} "
        )
        for note in plan.notes:
            yield from wrapped(safe(note), lead="  note: ")

    def where_lines(self) -> Iterator[str]:
        """Say where the toolkit would run, and what is uncertain about it."""
        chosen = self.chosen
        assert chosen is not None  # `check` has chosen
        if chosen.engine is not None:
            yield f"It runs in a container ({chosen.engine.name}), without network."
        elif chosen.python is not None:
            yield from wrapped(
                "It runs in a virtual environment, because no container engine works here: the "
                "vendor's code, and any that lies with the model, can do there all that you can."
            )
        for warning in chosen.warnings:
            yield from wrapped(warning, lead="warning: ")

    def as_json(self) -> dict[str, Any]:
        """Return the plan for programs."""
        plan, needs, chosen = self.plan, self.plan.needs, self.chosen
        where = None
        if chosen is not None:
            where = f"container ({chosen.engine.name})" if chosen.engine else "venv"
        return {
            "base": {
                "model": plan.base.hub_id,
                "path": str(plan.base.path) if plan.base.path and not plan.base.hub_id else None,
                "revision": plan.base.revision,
                "architecture": plan.base.architecture,
                "parameters": plan.base.parameters,
                "licence": plan.base.licence,
                "code": list(plan.base.code.all),
            },
            "file": plan.file_name,
            **plan.parameters,
            "decisions": [
                {"name": d.name, "value": d.value, "why": d.why, "source": d.source}
                for d in plan.decisions
            ],
            "needs": {
                "memory_bytes": needs.memory_bytes,
                "download_bytes": needs.download_bytes,
                "work_bytes": needs.work_bytes,
                "environment_bytes": needs.environment_bytes,
                "output_bytes": needs.output_bytes,
                "seconds": list(needs.seconds),
            },
            "notes": list(plan.notes),
            "environment": where,
            "warnings": list(chosen.warnings) if chosen else [],
        }

    def require_consent_to_code(self) -> None:
        """Let nobody run a stranger's Python with all their rights unasked.

        Raises:
            UsageError: nobody agreed.
        """
        chosen, code = self.chosen, self.plan.base.code
        if not code or chosen is None or chosen.engine is not None or self._how.trust_code:
            return
        if not self._quiet and can_ask():
            for item in code.all:
                say(f"  {safe(item)}")
            if says_yes("Run this code, with all that you may do here?"):
                return
        raise UsageError(
            f"{self.plan.base.name} brings code that would run with all your rights",
            cause=[safe(item) for item in code.all[:5]],
            hint="install podman, which keeps it away from your files; or read it, and say "
            "--trust-code",
        )

    # --- carrying it out ------------------------------------------------------------------------

    def carry_out(self, catalog: Catalog, http: Http | None) -> Converted:
        """Convert, or find what was converted so before.

        Raises:
            RkfetchError: as `convert.run.convert`.
        """
        from rkfetch.catalog.conversions import note_conversion
        from rkfetch.registry.convert.base_cache import fetch
        from rkfetch.registry.convert.here import environment_for
        from rkfetch.registry.convert.run import convert
        from rkfetch.registry.store import Store, home

        assert self.chosen is not None  # `check` has chosen
        store = Store(home())
        progress = self._progress
        with closing(progress), _network(http) as client:
            environment = environment_for(
                self.plan,
                self.chosen,
                home=home(),
                wheel=self._wheel,
                http=client,
                watch=progress,
            )
            made = convert(
                self.plan,
                environment,
                store=store,
                watch=progress,
                progress=progress,
                fetch=lambda base: fetch(base, http=client, progress=progress),
                memory_bytes=self._machine.limit_bytes,
            )
        for warning in () if self._quiet else progress.warnings:
            for line in wrapped(safe(warning), lead="warning: "):
                say(line)
        try:
            note_conversion(catalog, made)
        except RkfetchError as error:
            say(f"warning: the catalog does not know it: {safe(error.message)}")
        return made


def emit_plan(conversion: Conversion) -> None:
    """Write the plan as the answer."""
    for line in conversion.lines(with_sources=True):
        emit(line)


def can_ask() -> bool:
    """Tell whether somebody is there to answer."""
    return sys.stdin is not None and sys.stdin.isatty() and talks_to_terminal()


def says_yes(question: str) -> bool:
    """Ask; anything but yes is no."""
    # Not typer.confirm: it writes a space to stdout, where only the path may stand.
    say(f"{question} [y/N]")
    return sys.stdin.readline().strip().lower() in {"y", "yes"}


def _with_quant(target: Target, quant: Any) -> Target:
    from dataclasses import replace

    return replace(target, quant=quant) if quant is not None else target


def _network(http: Http | None) -> Any:
    """Give the client, or one that refuses every request offline."""
    from contextlib import nullcontext

    if http is not None:
        return nullcontext(http)
    from rkfetch.registry.http import Http as Client

    return Client(token=None, offline=True)


def _this_board() -> str:
    """Return how another machine would reach this one: ``user@address:models``."""
    import getpass
    import socket

    name = socket.gethostname() or "BOARD"
    try:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
            probe.connect(("192.0.2.1", 9))  # sends nothing: the route tells the address
            name = probe.getsockname()[0]
    except OSError:
        pass  # without a network, the name is all there is
    try:
        user = getpass.getuser()
    except (KeyError, OSError):
        user = "USER"
    return f"{user}@{name}:models"
