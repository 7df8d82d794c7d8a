"""The question that ``fetch``, ``resolve`` and ``explain`` share: its options, and its answer."""

from __future__ import annotations

import functools
import inspect
from dataclasses import MISSING, dataclass, fields
from typing import TYPE_CHECKING, Annotated, Any, get_type_hints

import typer

from rkfetch.registry.errors import RkfetchError

from . import options
from .answers import question_json

if TYPE_CHECKING:
    from collections.abc import Callable, Collection

    from rkfetch.catalog.answer import Answer
    from rkfetch.catalog.database import Catalog
    from rkfetch.catalog.pairs import Lister
    from rkfetch.registry.http import Http
    from rkfetch.registry.mirror import Neighbours
    from rkfetch.registry.model import Artifact, Target
    from rkfetch.registry.resolve import Policy
    from rkfetch.registry.target import Board

ModelArgument = Annotated[
    str,
    typer.Argument(
        metavar="MODEL",
        help="What you would call it: qwen2.5-1.5b, qwen2.5:1.5b, Qwen/Qwen2.5-1.5B-Instruct; "
        "with @w8a8 to insist on a quantisation; or one file: hf:OWNER/REPO/PATH.rkllm[@REVISION].",
    ),
]
ForceOption = Annotated[
    bool,
    typer.Option("--force", help="Take it even if it does not fit in the board's memory."),
]


@dataclass(frozen=True, slots=True, kw_only=True)
class Question:
    """What a user asked, option by option."""

    model: ModelArgument
    platform: options.PlatformOption = None
    runtime: options.RuntimeOption = None
    driver: options.DriverOption = None
    memory: options.MemoryOption = None
    context: options.ContextOption = None
    sysroot: options.SysrootOption = "/"
    allow_risky: options.AllowRiskyOption = False
    allow_unverified: options.AllowUnverifiedOption = False
    force: ForceOption = False
    offline: options.OfflineOption = False
    as_json: options.JsonOption = False

    @property
    def target(self) -> Target:
        """The board, as the options describe it or as it is found.

        Raises:
            UsageError: an option cannot be read.
        """
        return self.target_on(None)

    def target_on(self, board: Board | None) -> Target:
        """Return a board as the options describe it, or as it was found elsewhere.

        Raises:
            UsageError: an option cannot be read.
            IncompatibleError: RKLLM does not run on it.
        """
        return options.make_target(
            platform=self.platform,
            runtime=self.runtime,
            driver=self.driver,
            memory=self.memory,
            context=self.context,
            sysroot=self.sysroot,
            board=board,
        )

    @property
    def policy(self) -> Policy:
        """What is allowed beyond the safe default."""
        from rkfetch.registry.resolve import Policy

        return Policy(
            allow_risky=self.allow_risky,
            allow_unverified=self.allow_unverified,
            force=self.force,
        )

    def answer(self, catalog: Catalog, http: Http | None, target: Target | None = None) -> Answer:
        """Find and judge the builds; a failure carries the JSON that is known by then.

        ``target`` is a board that was asked already.

        Raises:
            RkfetchError: see `rkfetch.catalog.answer.answer`, and options that cannot be read.
        """
        from rkfetch.catalog.answer import answer
        from rkfetch.catalog.probe import prober

        try:
            target = target or self.target
            return answer(
                catalog,
                self.model,
                target,
                policy=self.policy,
                prober=prober(catalog, http) if http else None,
                at_hand=at_hand(http),
                lister=lister(http) if http else None,
            )
        except RkfetchError as error:
            error.answer = question_json(self.model, target)
            raise


def at_hand(http: Http | None) -> Callable[[Artifact], bool]:
    """Return what tells whether a build is on this machine, or in the store of a neighbour.

    Few questions ask: only of builds that nobody can download is it worth the imports.
    """

    @functools.cache
    def neighbours() -> Neighbours | None:
        from rkfetch.registry.mirror import Neighbours

        return Neighbours(http) if http is not None else None

    def tell(artifact: Artifact) -> bool:
        from rkfetch.registry.fetch import installed
        from rkfetch.registry.store import Store, home

        if installed(Store(home()), artifact) is not None:
            return True
        theirs = neighbours()
        return theirs is not None and theirs.have(artifact)

    return tell


def lister(http: Http) -> Lister:
    """Return what lists the repository of a vision model."""
    from rkfetch.catalog.pairs import lister_of

    return lister_of(http)


def asks(
    command: Callable[..., None], *, model: Any = ModelArgument, without: Collection[str] = ()
) -> Callable[..., None]:
    """Give a command all options of a `Question`, which it receives as its first argument.

    ``model`` is what MODEL may be, if that is something else than usual; ``without`` names
    options that mean nothing to it.

    typer reads a command's parameters from its signature; this writes them there once for all.
    """
    hints = {**get_type_hints(Question, include_extras=True), "model": model}
    own = list(inspect.signature(command, eval_str=True).parameters.values())[1:]

    @functools.wraps(command)
    def run(**values: Any) -> None:
        asked = {f.name: values.pop(f.name) for f in fields(Question) if f.name not in without}
        command(Question(**asked), **values)

    shared = [
        inspect.Parameter(
            f.name,
            inspect.Parameter.KEYWORD_ONLY,
            default=inspect.Parameter.empty if f.default is MISSING else f.default,
            annotation=hints[f.name],
        )
        for f in fields(Question)
        if f.name not in without
    ]
    parameters = [*shared[:1], *own, *shared[1:]]
    run.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
    run.__annotations__ = {p.name: p.annotation for p in parameters}
    return run
