"""A conversion on another machine, as a person here sees it: planned there, agreed to here."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from rkfetch.registry.errors import IntegrityError, UsageError

from .asking import can_ask
from .conversion import arguments, require_consent_to_code, tell_and_note
from .convert_progress import watching
from .output import safe
from .plan_text import plan_lines, where_lines

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from contextlib import ExitStack

    from rkfetch.catalog.database import Catalog
    from rkfetch.registry.convert.run import Converted
    from rkfetch.registry.http import Http
    from rkfetch.registry.metered import Costs
    from rkfetch.registry.model import Target
    from rkfetch.registry.ssh import RemoteHost, Ssh

    from .conversion import How
    from .convert_progress import Watching
    from .question import Question


class ConversionOn:
    """A conversion that rkfetch on another machine plans and carries out.

    Args:
        host: the machine.
        stack: keeps the connection to it.
        question: what was asked.
        how: and how it is to be converted.
        target: the board, whatever that machine is.
        quiet: nothing is said or asked.

    Raises:
        UsageError: what was asked names files of this machine.
    """

    def __init__(
        self,
        host: RemoteHost,
        stack: ExitStack,
        question: Question,
        how: How,
        target: Target,
        *,
        quiet: bool,
    ) -> None:
        _require_nothing_of_here(question, how, host)
        self._host = host
        self._stack = stack
        self._question = question
        self._how = how
        self.target = target
        self._quiet = quiet or question.as_json
        self.progress: Watching = watching(json_lines=question.as_json, quiet=quiet)
        self.values: dict[str, Any] = {}
        self._link: Ssh

    def prepare(self) -> None:
        """Connect, and ask for the plan, and whether that machine can carry it out.

        Raises:
            UsageError: there is no rkfetch.
            AuthenticationError, NetworkError: it cannot be reached.
            IntegrityError: it answers what this version does not understand.
            RkfetchError: as rkfetch there, whose words they are.
        """
        from rkfetch.registry.convert.remote import run_on, version_on
        from rkfetch.registry.ssh import Ssh

        self.progress.step(f"asking {self._host.name} for the plan")
        self._link = self._stack.enter_context(Ssh(self._host))
        version = version_on(self._link)
        answer = run_on(self._link, ["convert", *self._words(), "--dry-run", "--json"], _Plain())
        self.values = _understood(answer.get("plan"), f"rkfetch {version} on {self._host.name}")

    def check(self) -> None:
        """Do nothing: it was asked there, with the plan."""

    def made_before(self) -> None:
        """Do nothing: that is known there alone, and said with the answer."""

    def where_lines(self) -> Iterator[str]:
        """Say where the toolkit would run."""
        return where_lines(self.values, on=self._host.name)

    def require_consent_to_code(self) -> None:
        """As `conversion.require_consent_to_code`; what was agreed to here is passed on."""
        if not self._how.trust_code:
            require_consent_to_code(self.values, ask=not self._quiet and can_ask())
            self._how = replace(self._how, trust_code=True)

    def require_link(self, costs: Costs) -> None:
        """Do nothing: the link is the other machine's."""

    def carry_out(self, catalog: Catalog, _http: Http | None) -> Converted:
        """Have it converted, and the file here.

        Raises:
            RkfetchError: as `remote.convert_on`.
        """
        from rkfetch.registry.convert.remote import convert_on
        from rkfetch.registry.store import Store, home

        progress = self.progress
        try:
            made = convert_on(
                self._link,
                [*self._words(), "--yes"],
                platform=self.target.platform,
                store=Store(home()),
                listener=_Passing(progress),
                progress=progress,
            )
        finally:
            progress.close()
        tell_and_note(made, catalog, () if self._quiet else progress.warnings)
        return made

    def _words(self) -> list[str]:
        words = arguments(self._question, self._how, self.target)
        return [*words, "--offline"] if self._question.offline else words


def _require_nothing_of_here(question: Question, how: How, host: RemoteHost) -> None:
    if how.toolkit_wheel is not None or how.dataset is not None:
        option = "--toolkit-wheel" if how.toolkit_wheel is not None else "--dataset"
        raise UsageError(
            f"{option} names a file of this machine, and it is converted on {host.name}",
            hint=f"copy it there, and run the command there: {host.command}",
        )
    model = question.model
    if model in {".", ".."} or model.startswith(("./", "../", "~")):
        raise UsageError(
            f"{safe(model, limit=200)} lies on this machine, and it is converted on {host.name}",
            hint="copy it there, and name it by its whole path there (/home/me/my-model)",
        )


def _understood(plan: Any, whose: str) -> dict[str, Any]:
    """Return a plan of another version of rkfetch, if all that is used of it makes sense.

    Raises:
        IntegrityError: it does not.
    """
    try:
        list(plan_lines(plan, with_sources=True))
        list(where_lines(plan))
        base = plan["base"]
        for text in (base["name"], plan["quant"], plan["toolkit"], *base["code"]):
            safe(text)
        for text in (base["licence"], base["model"]):
            safe(text or "")
        bool(base["gated"])
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise IntegrityError(
            f"{whose} answers with a plan that is not understood here",
            hint="have the same version of rkfetch on both machines",
        ) from error
    found: dict[str, Any] = plan
    return found


class _Plain:
    """Hears what is told while a plan is made: nothing of it is worth a word."""

    def told(self, values: Mapping[str, Any]) -> None:
        """Do nothing."""

    def said(self, line: str) -> None:
        """Do nothing."""


class _Passing:
    """Shows what rkfetch tells there as if it were told here."""

    def __init__(self, progress: Watching) -> None:
        self._progress = progress
        self._phase: object = None

    def told(self, values: Mapping[str, Any]) -> None:
        """Pass on one object of `cli.progress.JsonLines` or `WatchingJson`."""
        phase, status = values.get("phase"), values.get("status")
        if phase == "step" and isinstance(status, str):
            self._progress.step(status)
        elif phase == "convert":
            self._event(values)
        elif status == "waiting":
            seconds = values.get("seconds")
            wait = float(seconds) if isinstance(seconds, (int, float)) else 0.0
            self._progress.waiting(str(values.get("reason", "")), wait)
        elif isinstance(phase, str) and isinstance(done := values.get("completed"), int):
            self._counted(phase, values.get("total"), done)

    def _event(self, values: Mapping[str, Any]) -> None:
        from rkfetch.registry.convert.job import Event

        event = Event.of(values.get("event"))
        if event is not None:
            self._progress.event(event)

    def _counted(self, phase: str, total: object, done: int) -> None:
        if self._phase != (phase, total):
            self._phase = (phase, total)
            self._progress.phase(phase)
            self._progress.started(total if isinstance(total, int) else None, done)
        self._progress.advanced(done)

    def said(self, line: str) -> None:
        """Show a line that was no such object, such as a warning of ssh's."""
        self._progress.detail(line)
