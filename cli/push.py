"""``rkfetch push``: a model for another board, chosen by what that board is, and put on it."""

from __future__ import annotations

import functools
from contextlib import ExitStack, closing
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Annotated, Any

import typer

from rkfetch.registry.errors import ConversionUnavailableError, RkfetchError, UsageError

from . import fetch, options, spending
from .answers import answer_json, choice_lines, question_json, target_words
from .boards import link_to, on_board
from .opening import open_catalog, open_network
from .output import emit, emit_json, error_json, human_bytes, safe, say, say_error, say_wrapped
from .question import Question, asks  # noqa: TC001 - asks evaluates the annotations

if TYPE_CHECKING:
    from collections.abc import Callable

    from rkfetch.catalog.answer import Answer
    from rkfetch.catalog.database import Catalog
    from rkfetch.catalog.push import Pushed
    from rkfetch.registry.adb import AdbDevice
    from rkfetch.registry.asking import Asked
    from rkfetch.registry.http import Http
    from rkfetch.registry.limits import Limits
    from rkfetch.registry.link import Link
    from rkfetch.registry.model import Target
    from rkfetch.registry.progress import Progress
    from rkfetch.registry.ssh import RemoteHost
    from rkfetch.registry.store import Installed

BoardsArgument = Annotated[
    list[str],
    typer.Argument(
        metavar="BOARD:DIR...",
        help="Where to put it: user@board:DIR (below the home there, or a whole path), "
        "ssh://user@board:PORT/DIR, adb:DIR or adb:SERIAL:DIR. Several boards take their turns.",
    ),
]
DryRunOption = Annotated[
    bool,
    typer.Option("--dry-run", "-n", help="Ask the board and say what would be sent; send nothing."),
]
_BOARD_OPTIONS = ("platform", "runtime", "driver", "memory")


@functools.partial(asks, without=("sysroot",))
def push_command(
    question: Question,
    *,
    ctx: typer.Context,
    boards: BoardsArgument,
    dry_run: DryRunOption = False,
    limit_rate: fetch.LimitRateOption = None,
    connections: fetch.ConnectionsOption = 8,
    background: fetch.BackgroundOption = False,
    metered: spending.MeteredOption = "auto",
    quiet: options.QuietOption = False,
) -> None:
    """Put a model on another board: ask it, choose for it, fetch here, send, verify there.

    The board needs nothing but ssh (or adb) and sha256sum. SoC, runtime, driver and memory are the
    board's own, unless an option says otherwise. What was interrupted goes on where it stopped,
    and what is there already is not sent. Prints BOARD:PATH of the model, one line for each board.

    \b
    Examples:
      rkfetch push qwen2.5-1.5b rock@192.168.1.20:models
      rkfetch push qwen3-4b@w4a16 ssh://rock@board:2222/srv/models --dry-run
      rkfetch push qwen2.5-1.5b rock@b1:models rock@b2:models
      rkfetch push qwen2.5-1.5b adb:/data/models

    \b
    Exit codes: 0 verified and there, 2 wrong usage (also: a board that does not tell its runtime),
      3 nothing compatible, 4 unknown model, 5 gated, or the board lets nobody in, 6 network,
      7 integrity, 8 disk, here or there, 9 memory, 10 only a conversion would help, 11 offline,
      130 interrupted. Of several boards the first that failed counts.
    """
    places = [(text, *on_board(text)) for text in boards]
    question = replace(question, **_left_to_the_board(ctx))
    limits = fetch.limits_of(limit_rate, connections, background=background)
    silent = quiet or question.as_json
    results: list[dict[str, Any]] = []
    failures: list[RkfetchError] = []
    network = open_network(offline=question.offline, patient=True)
    with open_catalog(quiet=silent) as catalog, network as http:
        for text, host, folder in places:
            task = _Push(
                question=question,
                host=host,
                folder=folder,
                catalog=catalog,
                http=http,
                limits=limits,
                metered=metered,
                quiet=quiet,
            )
            try:
                value = task.run(dry_run=dry_run)
            except RkfetchError as error:
                if len(places) == 1 and not question.as_json:
                    raise
                value = {**(error.answer or question_json(question.model)), "status": "error"}
                value["error"] = error_json(error)
                failures.append(error)
                if not question.as_json:
                    say_error(error)
            results.append({"board": text, "host": host.address, **value})
    if question.as_json:
        answer = {"status": "ok", "reference": question.model, "boards": results, "error": None}
        if failures:
            failures[0].answer = answer
            raise failures[0]
        emit_json(answer)
    if failures:
        raise typer.Exit(failures[0].exit_code)


def _left_to_the_board(ctx: typer.Context) -> dict[str, Any]:
    """Return the options that were not typed: what is set for this machine is no board's fact."""
    return {name: None for name in _BOARD_OPTIONS if not options.is_typed(ctx, name)}


@dataclass(frozen=True, kw_only=True)
class _Push:
    """One model for one board."""

    question: Question
    host: RemoteHost | AdbDevice
    folder: str
    catalog: Catalog
    http: Http | None
    limits: Limits
    metered: str
    quiet: bool

    @property
    def _silent(self) -> bool:
        return self.quiet or self.question.as_json

    def run(self, *, dry_run: bool) -> dict[str, Any]:
        """Do it; returns what is said of it with ``--json``."""
        from rkfetch.registry.asking import ask_board

        with ExitStack() as stack:
            way = link_to(self.host)
            stack.enter_context(way)
            link: Link = way
            self._say(f"asking {self.host.name} what it is")
            asked = ask_board(link, self.folder)
            if not asked.can_verify:
                raise RkfetchError(
                    f"{self.host.name} cannot verify what it is sent",
                    cause=["there is no sha256sum"],
                    hint="install coreutils or busybox there",
                )
            target = self._target(asked)
            answer = self._answer(target)
            try:
                return self._carry_out(answer, link, asked, dry_run=dry_run)
            except RkfetchError as error:
                error.answer = answer_json(answer, action="none", candidate=answer.choice)
                raise

    def _target(self, asked: Asked) -> Target:
        """Return the board as it is, or as the options say.

        Raises:
            UsageError: SoC or runtime cannot be told.
            IncompatibleError: RKLLM does not run on it.
        """
        board, name, told = asked.board, self.host.name, self.question
        if not board.on_board and told.platform is None:
            raise UsageError(
                f"{name} is no board that can be recognised",
                cause=[fact.how for fact in board.facts if fact.name == "platform"],
                hint="say its SoC: --platform rk3576 (and --runtime X.Y.Z)",
            )
        target = told.target_on(board)
        if board.platform is not None and target.platform is not board.platform:
            self._warn(f"{name} is an {board.platform.value}, and is sent what you said it is")
        if target.runtime is None and not told.allow_unverified:
            raise UsageError(
                f"which runtime {name} has cannot be told",
                cause=[fact.how for fact in board.facts if fact.name == "runtime"],
                hint="say it: --runtime X.Y.Z; or accept any build with --allow-unverified",
            )
        return target

    def _answer(self, target: Target) -> Answer:
        from .conversion import How, command_line

        try:
            answer = self.question.answer(self.catalog, self.http, target)
        except ConversionUnavailableError as error:
            command = command_line(self.question, How(), target)
            error.hint = f"{error.hint}; or make one on an x86_64 Linux PC: {command}"
            raise
        try:
            answer.require()
        except RkfetchError as error:
            error.answer = answer_json(answer, action="none", candidate=None)
            raise
        return answer

    def _carry_out(
        self, answer: Answer, link: Link, asked: Asked, *, dry_run: bool
    ) -> dict[str, Any]:
        from rkfetch.catalog.push import push, require_room
        from rkfetch.registry.store import Store, home

        choice = answer.require()
        store = Store(home())
        self._announce(answer)
        require_room(answer, store, link, self.folder, asked)
        if dry_run:
            self._say("nothing was sent (--dry-run)")
            value = answer_json(answer, action="push", candidate=choice)
            return {**value, "free_bytes": asked.free_bytes, "files": []}
        with ExitStack() as stack:
            progress = stack.enter_context(closing(self._fetching(answer)))
            pushed = push(
                self.catalog,
                answer,
                link,
                self.folder,
                policy=self.question.policy,
                store=store,
                http=self.http,
                progress=progress,
                sending=self._sending(stack),
                limits=self.limits,
                costs=spending.costs_of(self.metered, None if self._silent else progress),
            )
        self._conclude(pushed)
        return self._json(answer, pushed)

    def _fetching(self, answer: Answer) -> Any:
        return fetch.progress_of(answer, as_json=self.question.as_json, quiet=self.quiet)

    def _sending(self, stack: ExitStack) -> Callable[[Installed], Progress]:
        from .progress import for_sending

        def watch(item: Installed) -> Progress:
            self._say(f"to {self.host.name}: {safe(item.path.name)}")
            shown = for_sending(json_lines=self.question.as_json, quiet=self.quiet)
            return stack.enter_context(closing(shown))

        return watch

    def _announce(self, answer: Answer) -> None:
        if self._silent or answer.choice is None:
            return
        name = safe(answer.model or answer.reference.text)
        say_wrapped(f"{name} for {self.host.name}, {target_words(answer.target)}:")
        for line in choice_lines(answer.choice):
            say(line)
        fetch.warn_of_what_was_allowed(answer)

    def _conclude(self, pushed: Pushed) -> None:
        model, *others = pushed.files
        for sent in pushed.files:
            was = "was there already" if sent.delivered.action == "present" else "is there"
            resumed = sent.delivered.resumed_from
            on = f" ({human_bytes(resumed)} were there already)" if resumed else ""
            size = human_bytes(sent.item.record.size_bytes)
            self._say(f"{safe(sent.item.path.name)} {was}, verified, {size}{on}")
        for sent in others:
            self._say(f"it belongs to the model: {safe(sent.delivered.path, limit=2000)}")
        if not self.question.as_json:
            emit(f"{self.host.name}:{safe(model.delivered.path, limit=4096)}")

    def _json(self, answer: Answer, pushed: Pushed) -> dict[str, Any]:
        value = answer_json(answer, action=pushed.action, candidate=pushed.got.candidate)
        record = pushed.got.installed.record
        value["artifact"].update(
            sha256=record.sha256, bytes=record.size_bytes, revision=record.revision
        )
        files = [
            {
                "path": sent.delivered.path,
                "bytes": sent.item.record.size_bytes,
                "sha256": sent.item.record.sha256,
                "action": sent.delivered.action,
                "resumed_from": sent.delivered.resumed_from,
            }
            for sent in pushed.files
        ]
        return {**value, "path": files[0]["path"], "files": files}

    def _say(self, text: str) -> None:
        if not self._silent:
            say(text)

    def _warn(self, text: str) -> None:
        if not self._silent:
            say_wrapped(text, lead="warning: ")
