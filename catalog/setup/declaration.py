"""Read ``rkfetch.toml``: which models go where, for which boards. A pure function of its text.

What is wrong is said with the file, the line and the key; nothing is guessed.
"""

from __future__ import annotations

import difflib
import re
import sys
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, TypeVar

from rkfetch.catalog.models import parse_reference
from rkfetch.registry.errors import UsageError
from rkfetch.registry.model import LOCAL, Platform, Quant, Target
from rkfetch.registry.resolve import Policy
from rkfetch.registry.target import parse_memory
from rkfetch.registry.versions import parse_version

from .paths import bad_place

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

THIS_BOARD = "board"
"""The name of the one target where none is declared."""
MOST_ENTRIES = 1000
"""Of a kind; what has more is not written for boards."""
LONGEST_FILE = 4 << 20
"""Bytes of a declaration or a lock file."""
_EXAMPLE = '[[model]] and below it model = "qwen2.5-1.5b"'
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
_ALLOWED = ("allow_risky", "allow_unverified", "force")
_T = TypeVar("_T")


@dataclass(frozen=True, slots=True, kw_only=True)
class WantedTarget:
    """Boards of one kind."""

    name: str
    target: Target


@dataclass(frozen=True, slots=True, kw_only=True)
class Wish:
    """One model that boards are to have."""

    model: str
    """A reference, as it was typed."""
    quant: Quant | None = None
    context: int | None = None
    to: str | None = None
    """Folder, or name that ends in ``.rkllm``, below the folder of the set-up; None is the store
    alone."""
    text_only: bool = False
    optional: bool = False
    """A target that no build fits goes without it."""
    allow_risky: bool = False
    allow_unverified: bool = False
    force: bool = False

    @property
    def policy(self) -> Policy:
        """What is allowed beyond the safe default."""
        return Policy(
            allow_risky=self.allow_risky,
            allow_unverified=self.allow_unverified,
            force=self.force,
        )

    @property
    def question(self) -> Wish:
        """The same wish as far as it decides which build is taken."""
        return replace(self, to=None, optional=False)

    @property
    def words(self) -> str:
        """What to call it in a sentence: ``qwen2.5-1.5b@w8a8``."""
        return f"{self.model}@{self.quant}" if self.quant else self.model

    def target(self, board: Target) -> Target:
        """Return what to resolve for: a board, and what is wanted of the build."""
        return replace(board, quant=self.quant, context=self.context or board.context)


@dataclass(frozen=True, slots=True, kw_only=True)
class Declaration:
    """All that a ``rkfetch.toml`` says."""

    targets: tuple[WantedTarget, ...] = ()
    """None: whatever board this is."""
    wishes: tuple[tuple[Wish, tuple[str, ...]], ...] = ()
    """Each with the names of the targets that it is for; no name is every target."""

    def wishes_for(self, target: str) -> tuple[Wish, ...]:
        """Return what a target is to have, in order."""
        return tuple(wish for wish, names in self.wishes if not names or target in names)


def parse(text: str, name: str = "rkfetch.toml") -> Declaration:
    """Read a declaration; ``name`` is what to call its file.

    Raises:
        UsageError: it says what cannot be meant; with line, key and what would be right.
    """
    if sys.version_info >= (3, 11):
        import tomllib
    else:
        import tomli as tomllib
    try:
        values = tomllib.loads(text)
    except (ValueError, RecursionError) as error:  # TOMLDecodeError, which tells the line, is one
        hint = 'it is TOML: [[model]] on a line, and below it: model = "qwen2.5-1.5b"'
        raise UsageError(f"{name} cannot be read", cause=[str(error)], hint=hint) from error
    top = _Table(values, name=name, kind="", number=0, text=text)
    top.require_known(("target", "model"))
    targets = tuple(_target(table) for table in top.tables("target"))
    names = [target.name for target in targets]
    wishes = _wishes(top, names)
    for number, target in enumerate(names):
        if target in names[:number]:
            raise top.inner("target", number).wrong("name", f"'{target}' is there twice")
        if all(where and target not in where for _, where in wishes):
            raise top.inner("target", number).wrong("name", f"no model is for '{target}'")
    return Declaration(targets=targets, wishes=wishes)


def _wishes(top: _Table, targets: Sequence[str]) -> tuple[tuple[Wish, tuple[str, ...]], ...]:
    wishes: list[tuple[Wish, tuple[str, ...]]] = []
    for table in top.tables("model"):
        wish, where = _wish(table), _targets_of(table, targets)
        for other, there in wishes:
            both = not where or not there or set(where) & set(there)
            if both and (other.question, other.to) == (wish.question, wish.to):
                raise table.wrong("model", f"{wish.words} is there twice")
        wishes.append((wish, where))
    if not wishes:
        raise top.wrong("model", "there is none", hint=f"add the lines: {_EXAMPLE}")
    return tuple(wishes)


def _target(table: _Table) -> WantedTarget:
    table.require_known(("name", "platform", "runtime", "driver", "memory"))
    name = table.needed("name", str, 'name = "rock-4d"')
    if not _NAME.fullmatch(name):
        raise table.wrong(
            "name", f"{name[:80]!r} is no name: letters, digits, '.', '_', '-', up to 64"
        )
    platform = table.needed("platform", str, 'platform = "rk3576"')
    runtime = table.needed("runtime", str, 'runtime = "1.2.3"')
    driver, memory = table.get("driver", str), table.get("memory", str)
    return WantedTarget(
        name=name,
        target=Target(
            platform=table.read("platform", Platform.parse, platform),
            runtime=table.read("runtime", lambda v: parse_version(v, what="runtime"), runtime),
            driver=None
            if driver is None
            else table.read("driver", lambda v: parse_version(v, what="driver"), driver),
            memory_bytes=None if memory is None else table.read("memory", parse_memory, memory),
        ),
    )


def _wish(table: _Table) -> Wish:
    table.require_known(
        ("model", "quant", "context", "to", "targets", "text_only", "optional", *_ALLOWED)
    )
    text = table.needed("model", str, 'model = "qwen2.5-1.5b"')
    reference = table.read("model", parse_reference, text)
    if reference.file is not None and reference.file.source == LOCAL:
        raise table.wrong("model", "a file of this machine means nothing to another")
    quant = None
    if (said := table.get("quant", str)) is not None:
        quant = table.read("quant", Quant.parse, said)
        if reference.quant not in {None, quant}:
            raise table.wrong("quant", f"{said} contradicts {text}")
    context = table.get("context", int)
    if context is not None and not 0 < context < 1 << 31:
        raise table.wrong("context", f"{context} is no number of tokens")
    to = table.get("to", str)
    if to is not None and (why := bad_place(to)) is not None:
        raise table.wrong(
            "to", f"{to[:200]!r} {why}", hint="name a folder below that of this file, like models"
        )
    flags = {name: table.get(name, bool) or False for name in ("text_only", "optional", *_ALLOWED)}
    return Wish(
        model=(reference.model or reference.text) if reference.file is None else reference.text,
        quant=quant or reference.quant,
        context=context,
        to=to,
        **flags,
    )


def _targets_of(table: _Table, known: Sequence[str]) -> tuple[str, ...]:
    named = table.get("targets", list)
    if named is None:
        return ()
    if not named or any(not isinstance(part, str) for part in named):
        raise table.wrong("targets", 'it has to be a list of names: targets = ["rock-4d"]')
    for part in named:
        if part not in known:
            near = difflib.get_close_matches(part, known, n=1)
            meant = f"; did you mean {near[0]}?" if near else ""
            raise table.wrong("targets", f"there is no [[target]] called {part[:80]!r}{meant}")
    return tuple(dict.fromkeys(named))


_KINDS: Mapping[type, str] = {
    str: "a text in quotes",
    int: "a whole number",
    bool: "true or false",
    list: "a list",
}


class _Table:
    """One table of the file, which knows where it stands."""

    def __init__(
        self, values: Mapping[str, Any], *, name: str, kind: str, number: int, text: str
    ) -> None:
        self._values = values
        self._name = name
        self._kind = kind
        self._number = number
        self._text = text

    def tables(self, kind: str) -> list[_Table]:
        """Return the tables of a kind: ``[[model]]``."""
        found = self._values.get(kind, [])
        if not isinstance(found, list) or any(not isinstance(v, dict) for v in found):
            raise self.wrong(kind, f"it has to be written [[{kind}]], with two brackets")
        if len(found) > MOST_ENTRIES:
            raise self.wrong(kind, f"{len(found)} are too many, {MOST_ENTRIES} are the most")
        return [self.inner(kind, number) for number in range(len(found))]

    def inner(self, kind: str, number: int) -> _Table:
        """Return one of the tables of a kind."""
        values = self._values[kind][number]
        return _Table(values, name=self._name, kind=kind, number=number, text=self._text)

    def require_known(self, known: Sequence[str]) -> None:
        """Check that nothing else is said: a key that is misspelt must not be passed over."""
        for key in self._values:
            if key not in known:
                near = difflib.get_close_matches(key, known, n=1)
                meant = f"did you mean {near[0]}?" if near else f"there are: {', '.join(known)}"
                raise self.wrong(key, f"there is no such key; {meant}")

    def get(self, key: str, kind: type[_T]) -> _T | None:
        """Return a value of a kind, None where there is none."""
        value = self._values.get(key)
        if value is None:
            return None
        if type(value) is not kind:
            raise self.wrong(key, f"it has to be {_KINDS[kind]}")
        return value

    def needed(self, key: str, kind: type[_T], example: str) -> _T:
        """Return a value that has to be there."""
        value = self.get(key, kind)
        if value is None:
            raise self.wrong(key, "it is missing", hint=f"an example: {example}")
        return value

    def read(self, key: str, reader: Callable[[str], _T], text: str) -> _T:
        """Read a value, and say where it stands if it cannot be."""
        try:
            return reader(text)
        except UsageError as error:
            raise self.wrong(key, error.message, cause=error.cause, hint=error.hint) from error

    def wrong(
        self, key: str, what: str, *, cause: Sequence[str] = (), hint: str | None = None
    ) -> UsageError:
        """Return the error that says what is wrong, and where."""
        line = self._line_of(key)
        where = f"{self._name}:{line}" if line is not None else self._name
        of = f"[[{self._kind}]] {self._number + 1}, " if self._kind else ""
        return UsageError(f"{where}: {of}`{key[:80]}`: {what}", cause=cause, hint=hint)

    def _line_of(self, key: str) -> int | None:
        """Return the line of a key, else of its table; TOML's reader does not tell either."""
        header = re.compile(rf"\s*\[\[\s*{self._kind}\s*\]\]") if self._kind else None
        named = rf"\"?{re.escape(key)}\"?\s*"
        own = re.compile(rf"\s*{named}[=.]" if header else rf"\s*(?:{named}[=.]|\[\[?\s*{named}\])")
        seen, begin = -1, None if header else 0
        for number, line in enumerate(self._text.splitlines(), 1):
            if header is not None and line.lstrip().startswith("["):
                seen += bool(header.match(line))
                if begin is not None:
                    break
                begin = number if seen == self._number else None
            if begin is not None and own.match(line):
                return number
        return begin or None
