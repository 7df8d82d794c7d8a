"""One conversion as a person sees it: the plan, the questions, the progress, the end.

`rkfetch convert` and `rkfetch MODEL` (where nothing fits) share it.
"""

from __future__ import annotations

import shlex
from contextlib import closing
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rkfetch.registry.errors import RkfetchError, UsageError

from .asking import can_ask, says_yes
from .convert_progress import watching
from .output import safe, say, say_wrapped
from .plan_text import plan_json, where_lines

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from rkfetch.catalog.database import Catalog
    from rkfetch.registry.convert.base import BaseModel
    from rkfetch.registry.convert.machine import Machine
    from rkfetch.registry.convert.plan import Plan, Wishes
    from rkfetch.registry.convert.preflight import Chosen, Wanted
    from rkfetch.registry.convert.run import Converted
    from rkfetch.registry.convert.wheels import WheelFile
    from rkfetch.registry.http import Http
    from rkfetch.registry.metered import Costs
    from rkfetch.registry.model import Target

    from .convert_progress import Watching
    from .question import Question


_OF_THIS_MACHINE = {"toolkit_wheel", "allow_unknown_toolkit", "dataset"}


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
            value = getattr(self, item.name)
            # Not `in`: level 0 equals False.
            if item.name in _OF_THIS_MACHINE or value is None or value is False or value == "auto":
                continue
            option = "--" + item.name.replace("_", "-")
            yield from (option,) if value is True else (option, str(value))


def arguments(question: Question, how: How, target: Target) -> list[str]:
    """Return what `rkfetch convert` is told on another machine to do the same."""
    said = [question.model, "--platform", target.platform.value]
    if target.runtime is not None:
        said += ["--runtime", str(target.runtime)]
    if target.memory_bytes is not None:
        said += ["--memory", question.memory or f"{target.memory_bytes >> 20}M"]
    if target.context is not None:
        said += ["--context", str(target.context)]
    allowed = ("allow_risky", "allow_unverified", "force")
    said += [f"--{name.replace('_', '-')}" for name in allowed if getattr(question, name)]
    return [*said, *how.words()]


def command_line(question: Question, how: How, target: Target, *more: str) -> str:
    """Return the command that does the same on another machine."""
    return shlex.join(["rkfetch", "convert", *arguments(question, how, target), *more])


class Conversion:
    """A conversion that is prepared, then carried out."""

    def __init__(self, question: Question, how: How, target: Target, *, quiet: bool) -> None:
        self._question = question
        self._how = how
        self._target = target
        self._quiet = quiet or question.as_json
        self._wheel: WheelFile | None = None
        self._machine: Machine
        self.progress: Watching = watching(json_lines=question.as_json, quiet=quiet)
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
        from rkfetch.registry.convert.here import is_installed
        from rkfetch.registry.convert.machine import equipped
        from rkfetch.registry.convert.plan import make_plan
        from rkfetch.registry.store import home

        subject = subject_of(self._question.model, catalog.models())
        self.require_pc()
        self._machine = equipped(self._machine, self._wanted)
        if subject.path is not None:
            from rkfetch.registry.convert.base_folder import look_at

            self.base = look_at(subject.path)
        else:
            from rkfetch.registry.convert.base_cache import missing_bytes
            from rkfetch.registry.convert.base_hub import look_up

            assert subject.hub_id is not None
            with _network(http) as client:
                self.base = look_up(
                    subject.hub_id,
                    self._how.revision,
                    http=client,
                    waiting=self.progress.waiting,
                )
            self.base = replace(self.base, missing_bytes=missing_bytes(self.base))
        plan = make_plan(self.base, _with_quant(self._target, subject.quant), self._wishes())
        if is_installed(plan, self._machine, home(), self._wanted):
            plan = replace(plan, needs=replace(plan.needs, environment_bytes=0))
        self.plan = plan

    def require_pc(self) -> None:
        """Look at this machine; refuse one that cannot convert anything, at no cost.

        Raises:
            ConversionUnavailableError: with the command that does it on a PC, and delivers here.
        """
        from rkfetch.registry.convert.machine import look
        from rkfetch.registry.convert.preflight import require_pc

        self._machine = look()
        require_pc(self._question.model, self._machine, self._elsewhere("--deliver", _this_board()))

    @property
    def _wanted(self) -> Wanted:
        """Where the toolkit shall run; raises as `parse_wanted`."""
        from rkfetch.registry.convert.preflight import parse_wanted

        return parse_wanted(self._how.environment)

    def _wishes(self) -> Wishes:
        from rkfetch.registry.convert.plan import Wishes
        from rkfetch.registry.convert.wheels import accepted_wheel, release_of
        from rkfetch.registry.versions import parse_version

        how, wheel = self._how, None
        if how.toolkit_wheel is not None:
            self._wheel = found = accepted_wheel(
                Path(how.toolkit_wheel), allow_unknown=how.allow_unknown_toolkit
            )
            wheel = release_of(found)
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
        from rkfetch.registry.store import Store, home

        self.chosen = preflight(
            self.plan,
            self._machine,
            Store(home()),
            wanted=self._wanted,
            command=self._elsewhere(),
        )

    def _elsewhere(self, *more: str) -> str:
        return command_line(self._question, self._how, self._target, *more)

    def made_before(self) -> Converted | None:
        """Return the file of the same plan, if it was made on this machine before and is here."""
        from rkfetch.registry.convert.run import made_before
        from rkfetch.registry.store import Store, home

        return made_before(self.plan, Store(home()))

    # --- what is said and asked -----------------------------------------------------------------

    @property
    def target(self) -> Target:
        """The board, with the quantisation that was asked for."""
        return self.plan.target

    @property
    def values(self) -> dict[str, Any]:
        """The plan for programs."""
        return plan_json(self.plan, self.chosen)

    def where_lines(self) -> Iterator[str]:
        """Say where the toolkit would run, and what is uncertain about it."""
        return where_lines(self.values)

    def require_consent_to_code(self) -> None:
        """As `require_consent_to_code`."""
        if not self._how.trust_code:
            require_consent_to_code(self.values, ask=not self._quiet and can_ask())

    def require_link(self, costs: Costs) -> None:
        """Have consent to what would come over a link that costs; raises as `Costs.require`."""
        size = self.plan.needs.download_bytes + self.plan.needs.environment_bytes
        who = costs.matter(size)
        if who is not None:
            costs.require(f"what it takes to convert {self.plan.base.name}", size, who)

    # --- carrying it out ------------------------------------------------------------------------

    def carry_out(self, catalog: Catalog, http: Http | None) -> Converted:
        """Convert, or find what was converted so before.

        Raises:
            RkfetchError: as `convert.run.convert`.
        """
        from rkfetch.registry.convert.base_cache import fetch
        from rkfetch.registry.convert.here import environment_for
        from rkfetch.registry.convert.run import convert
        from rkfetch.registry.store import Store, home

        assert self.chosen is not None  # `check` has chosen
        store = Store(home())
        progress = self.progress
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
        tell_and_note(made, catalog, () if self._quiet else progress.warnings)
        return made


def require_consent_to_code(plan: Mapping[str, Any], *, ask: bool) -> None:
    """Let nobody run a stranger's Python with all their rights unasked.

    Raises:
        UsageError: nobody agreed.
    """
    code = [safe(item) for item in plan["base"]["code"]]
    if not code or plan["environment"] != "venv":
        return
    if ask:
        for item in code:
            say(f"  {item}")
        if says_yes("Run this code, with all that you may do there?"):
            return
    raise UsageError(
        f"{safe(plan['base']['name'])} brings code that would run with all your rights",
        cause=code[:5],
        hint="install podman, which keeps it away from your files; or read it, and say "
        "--trust-code",
    )


def tell_and_note(made: Converted, catalog: Catalog, warnings: Iterable[str]) -> None:
    """Say what the toolkit warned of, and let the catalog know the file."""
    from rkfetch.catalog.conversions import note_conversion

    for warning in warnings:
        say_wrapped(safe(warning), lead="warning: ")
    if made.installed.record.made is None:
        return  # the same bytes had been downloaded, so they are known
    try:
        note_conversion(catalog, made)
    except RkfetchError as error:
        say(f"warning: the catalog does not know it: {safe(error.message)}")


def _with_quant(target: Target, quant: Any) -> Target:
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
