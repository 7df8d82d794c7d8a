"""One load of one file, with everything that is known about it: what a diagnosis is made of."""

from __future__ import annotations

import shlex
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from rkfetch.registry.remedies import ADVISED, RELEASES, best_runtime, install_runtime
from rkfetch.registry.versions import Version, as_version

if TYPE_CHECKING:
    from rkfetch.registry.finding import Finding
    from rkfetch.registry.model import Platform
    from rkfetch.registry.rkllm import RkllmFacts
    from rkfetch.registry.runtime_log import Load
    from rkfetch.registry.target import Board

    from .log import Hit
    from .symptoms import Cause

_LATER = Version("1.3.0")


@dataclass(frozen=True, slots=True, kw_only=True)
class Subject:
    """The model file that a log speaks of, as far as it can be looked at."""

    path: str | None = None
    """Where it is on this machine; None if it is not here."""
    facts: RkllmFacts | None = None
    toolkit: Version | None = None
    """What is known of it where it could not be read."""
    platform: Platform | None = None
    context: int | None = None
    installed: bool = False
    damaged: bool = False
    """It is installed, and its content is not what it was."""
    missing: bool = False
    """The log names a file that is not on this machine."""
    reference: str | None = None
    """What to type to get the model."""
    exact: str | None = None
    """What to type to get this very file."""
    model: str | None = None
    """The plain name of its base model."""
    fitting: str | None = None
    """The build that `rkfetch REFERENCE` takes for the board of the log; None if none is known."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Diagnosed:
    """One thing that is wrong, or worth knowing."""

    finding: Finding
    cause: Cause
    hit: Hit | None = None
    """The line of the log that tells it; None for what was seen elsewhere."""
    count: int = 1
    """How often the log has it."""
    load: int = -1
    """Which load it is about; -1 if it is about none in particular."""
    explained_by: str | None = None
    """The rule of the finding of which this one is a consequence."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """One load, and what is known around it."""

    load: Load | None
    hits: tuple[Hit, ...]
    subject: Subject = field(default_factory=Subject)
    board: Board | None = None
    """This board, if the log is of this very board as far as can be seen."""
    index: int = -1

    @property
    def name(self) -> str:
        """What to call the file in a sentence."""
        path = self.subject.path or (self.load.path if self.load else None)
        return path.rpartition("/")[2] if path else "the file"

    @property
    def runtime(self) -> Version | None:
        """The runtime that spoke, or else this board's."""
        told = self.load.runtime if self.load else None
        return told or (self.board.runtime if self.board else None)

    @property
    def driver(self) -> Version | None:
        """The driver that the runtime saw, or else this board's."""
        told = self.load.driver if self.load else None
        return told or (self.board.driver if self.board else None)

    @property
    def platform(self) -> Platform | None:
        """The chip that it ran on."""
        told = self.load.platform if self.load else None
        return told or (self.board.platform if self.board else None)

    @property
    def toolkit(self) -> Version | None:
        """The toolkit that made the file, as the runtime read it or as it is known here."""
        told = self.load.toolkit if self.load else None
        facts = self.subject.facts
        return told or (facts.toolkit if facts else self.subject.toolkit)

    @property
    def made_for(self) -> Platform | None:
        """The chip that the file was built for."""
        told = self.load.file_platform if self.load else None
        facts = self.subject.facts
        return told or (facts.platform if facts else self.subject.platform)

    @property
    def context(self) -> int | None:
        """The file's context limit."""
        told = self.load.context if self.load else None
        facts = self.subject.facts
        return told or (facts.max_context if facts else self.subject.context)

    def hit(self, *names: str) -> Hit | None:
        """Return the first line of these symptoms."""
        return next((h for h in self.hits if h.symptom.name in names), None)

    # --- commands -------------------------------------------------------------------------------

    def command(self, *verb: str, options: str = "", remark: str = "") -> str:
        """Return a command of rkfetch about the model, for the board of the log."""
        words = ["rkfetch", *verb, shlex.quote(self.subject.reference or "MODEL")]
        if self.board is None:
            words += ["--platform", self.platform.value] if self.platform else []
            words += ["--runtime", str(self.runtime)] if self.runtime else []
        words += [options] if options else []
        return " ".join(words) + (f"   # {remark}" if remark else "")

    def fetch(self) -> str:
        """Return the command that gets a build that fits, with the build that it takes."""
        fitting = self.subject.fitting
        return self.command(remark=f"takes {fitting}" if fitting else "")

    def fetch_again(self) -> str:
        """Return the command that gets the very file again, if it is known where it came from."""
        exact = self.subject.exact
        return f"rkfetch {shlex.quote(exact)}" if exact else self.fetch()

    def inspect(self) -> tuple[str, ...]:
        """Return the command that reads what the file is, where it was not read already."""
        if self.subject.facts is not None:
            return ()
        path = self.load.path if self.load and self.load.path else "FILE"
        return (f"rkfetch inspect {shlex.quote(path)}   # says what the file is",)

    def mend_versions(self, *, at_least: str | None = None) -> tuple[str, ...]:
        """Return both ways to make file and runtime fit, the easier one first."""
        update = self.other_runtime(at_least=at_least)
        if not update:
            return (self.fetch(),)
        if self.subject.fitting is not None:
            return (self.fetch(), "or bring the runtime that suits the file:", *update)
        return (*update, self._otherwise())

    def _otherwise(self) -> str:
        """Say how a build comes about of which none is known."""
        subject = self.subject
        if subject.reference is None or self.platform is None or self.runtime is None:
            return f"or get another build: {self.fetch()}"
        model, pair = shlex.quote(subject.reference), f"--platform {self.platform.value}"
        return f"or make one, on a PC: rkfetch convert {model} {pair} --runtime {self.runtime}"

    def other_runtime(self, *, at_least: str | None = None) -> tuple[str, ...]:
        """Return the commands that bring a runtime that suits the file; none if none is known."""
        least = as_version(at_least) if at_least else None
        made_by = self.toolkit or least
        if made_by is None:
            now = self.runtime
            wanted = ADVISED if now is None or now < ADVISED else _LATER
            release = wanted if now is None or wanted > now else None
        else:
            release = best_runtime([made_by], self.subject.model, at_least=least)
        if release is None or release not in RELEASES:
            return ()
        machine = self.board.machine if self.board else None
        return install_runtime(release, machine=machine)
