"""``rkfetch fetch``, ``resolve`` and ``explain``: one question, answered, carried out, or shown."""

from __future__ import annotations

from contextlib import closing
from dataclasses import replace
from typing import TYPE_CHECKING, Annotated

import typer

from rkfetch.registry.compat import Level
from rkfetch.registry.errors import (
    ConversionUnavailableError,
    IncompatibleError,
    RkfetchError,
)

from . import options, serving, spending
from .answers import answer_json, choice_lines, explain_lines, half_lines, target_words
from .asking import can_ask, says_yes
from .opening import open_catalog, open_network
from .output import emit, emit_json, human_bytes, safe, say, say_wrapped
from .pairs import companion_json
from .question import Question, asks  # noqa: TC001 - asks evaluates the annotations

if TYPE_CHECKING:
    from pathlib import Path

    from rkfetch.catalog.answer import Answer
    from rkfetch.catalog.database import Catalog
    from rkfetch.catalog.get import Got
    from rkfetch.registry.http import Http
    from rkfetch.registry.limits import Limits
    from rkfetch.registry.metered import Costs
    from rkfetch.registry.progress import Progress

    from .progress import Silent

OutputOption = Annotated[
    str | None,
    typer.Option(
        "--output",
        "-o",
        metavar="DIR",
        help="Place the file in this folder (or under this name if it ends in .rkllm): a hard "
        "link or a copy of the stored file, never a second download. A vision encoder is placed "
        "beside it.",
    ),
]
TextOnlyOption = Annotated[
    bool,
    options.fixable(
        "text_only",
        "--text-only/--no-text-only",
        help="Leave out the vision encoder of a model that sees pictures.",
    ),
]


LimitRateOption = Annotated[
    str | None,
    options.fixable(
        "limit_rate",
        "--limit-rate",
        metavar="RATE",
        help="Bytes per second at the most, over all connections, like 500k or 2M.",
    ),
]
ConnectionsOption = Annotated[
    int,
    options.fixable(
        "connections",
        "--connections",
        metavar="N",
        min=1,
        max=16,
        help="Connections at the most. It begins with one, and has more only while more of them "
        "bring more.",
    ),
]
BackgroundOption = Annotated[
    bool,
    options.fixable(
        "background",
        "--background/--no-background",
        help="Give way: one connection, and every other program goes first at processor and disk.",
    ),
]
ConvertOption = Annotated[
    str,
    options.fixable(
        "convert",
        "--convert",
        metavar="never|auto|always",
        help="What to do where no published build fits. By itself it says what converting the "
        "model would take and asks, at a terminal of a PC that can; `rkfetch convert` says more.",
    ),
]


@asks
def fetch_command(
    question: Question,
    *,
    output: OutputOption = None,
    limit_rate: LimitRateOption = None,
    connections: ConnectionsOption = 8,
    background: BackgroundOption = False,
    metered: spending.MeteredOption = "auto",
    text_only: TextOnlyOption = False,
    convert: ConvertOption = "auto",
    server: serving.ForOption = None,
    models: serving.ModelsOption = None,
    name: serving.NameOption = None,
    quiet: options.QuietOption = False,
) -> None:
    """Get a model: find the build that the board's runtime loads, download, verify, print its path.

    This is the default command: `rkfetch MODEL` is `rkfetch fetch MODEL`. Asking again for what
    is there costs no network. Interrupted downloads go on where they stopped.

    \b
    Examples:
      rkfetch qwen2.5-1.5b --runtime 1.2.3
      rkfetch qwen2.5-1.5b@w8a8 --runtime 1.2.3 -o /opt/models
      rkfetch qwen3-4b --background --limit-rate 2M
      rkfetch qwen2.5-1.5b --for rkllama
      path=$(rkfetch qwen3-1.7b --quiet) && llm_demo "$path" 512 4096

    \b
    Exit codes: 0 verified and here, 2 wrong usage, 3 nothing compatible, 4 unknown model,
      5 gated, 6 network, 7 integrity, 8 disk, 9 memory, 10 only a conversion would help,
      11 offline (or a metered link), 130 interrupted.
    """
    limits = limits_of(limit_rate, connections, background=background)
    # With --json, stderr carries progress as JSON lines, and nothing that is none.
    silent = quiet or question.as_json
    serve = serving.serving_of(server, models, name, question=question, output=output, quiet=silent)
    network = open_network(offline=question.offline, patient=True)
    with open_catalog(quiet=silent) as catalog, network as http:
        try:
            question, answer = _answered(
                question, catalog, http, text_only=text_only, silent=silent
            )
        except (ConversionUnavailableError, IncompatibleError) as nothing_fits:
            from .convert import convert_instead

            convert_instead(
                question,
                nothing_fits,
                catalog,
                http,
                when=convert,
                metered=metered,
                output=output,
                serve=serve,
                quiet=quiet,
            )
            return
        try:
            with closing(progress_of(answer, as_json=question.as_json, quiet=quiet)) as progress:
                got, placed, given = _have(
                    answer,
                    question=question,
                    text_only=text_only,
                    output=output,
                    serve=serve,
                    catalog=catalog,
                    http=http,
                    progress=progress,
                    limits=limits,
                    costs=spending.costs_of(metered, None if silent else progress),
                )
        except RkfetchError as error:
            error.answer = answer_json(answer, action="none", candidate=answer.choice)
            raise
    record = got.installed.record
    path, *beside = placed
    if not silent:
        _conclude(got)
        if given is not None:
            given.tell()
    if not question.as_json:
        emit(given.answer if given else str(path))
        return
    value = answer_json(answer, action=got.action, candidate=got.candidate)
    value["artifact"].update(
        sha256=record.sha256, bytes=record.size_bytes, revision=record.revision
    )
    value["companions"] = [
        companion_json(item, path=where) for item, where in zip(got.companions, beside, strict=True)
    ]
    value |= given.as_json() if given else {"path": str(path)}
    emit_json({**value, "alone": got.alone, "resumed_from": got.resumed_from})


def _answered(
    question: Question, catalog: Catalog, http: Http | None, *, text_only: bool, silent: bool
) -> tuple[Question, Answer]:
    """Return the answer, and the question if it was changed; a choice that there is is announced.

    Raises:
        ConversionUnavailableError, IncompatibleError: nothing that is published may be used.
        RkfetchError: as `Question.answer`.
    """
    answer = question.answer(catalog, http)
    if text_only:
        answer = answer.text_only()
    if answer.choice is None and not silent:
        question, answer = _ask_about_risk(question, answer, catalog, http)
    elif not silent:
        _announce(answer)
    try:
        answer.require()
    except RkfetchError as error:
        error.answer = answer_json(answer, action="none", candidate=None)
        raise
    return question, answer


def progress_of(answer: Answer, *, as_json: bool, quiet: bool) -> Silent:
    """Choose how to show that it goes on: a file of a folder is read, any other downloaded."""
    from .progress import for_output, for_reading

    choice = answer.choice
    if choice is not None and choice.artifact.is_local:
        title = f"reading {safe(choice.artifact.path)}"
        return for_reading(title, json_lines=as_json, quiet=quiet)
    return for_output(json_lines=as_json, quiet=quiet)


def limits_of(limit_rate: str | None, connections: int, *, background: bool) -> Limits:
    """Read the options that leave room for others, and give way at once where that is asked.

    Raises:
        UsageError: the rate cannot be read.
    """
    from rkfetch.registry.limits import Limits, give_way, parse_rate

    rate = parse_rate(limit_rate) if limit_rate else None
    if background:
        give_way()
        connections = 1
    return Limits(connections=connections, bytes_per_s=rate)


def _have(
    answer: Answer,
    *,
    question: Question,
    text_only: bool,
    output: str | None,
    serve: serving.Serving | None,
    catalog: Catalog,
    http: Http | None,
    progress: Progress,
    limits: Limits,
    costs: Costs,
) -> tuple[Got, list[Path], serving.Delivered | None]:
    """Have the chosen build in the store and, if that was asked for, in its place or a server's.

    The paths are those of the model and of what belongs to it.
    """
    from pathlib import Path

    from rkfetch.catalog.get import get
    from rkfetch.registry.place import destination_of
    from rkfetch.registry.record import safe_file_name
    from rkfetch.registry.store import Store, home

    store = Store(home())
    if output is not None and answer.choice is not None:
        destination_of(safe_file_name(answer.choice.artifact.path), Path(output))
    if serve is not None:
        serve.require_room(answer)
    got = get(
        catalog,
        answer,
        policy=question.policy,
        store=store,
        http=http,
        progress=progress,
        limits=limits,
        costs=costs,
        text_only=text_only,
    )
    paths = [got.installed.path, *(companion.path for companion in got.companions)]
    if output is not None:
        path = store.place(got.installed, Path(output))
        paths = [path, *(store.place(c, path.parent) for c in got.companions)]
    if serve is None:
        return got, paths, None
    return got, paths, serve.deliver(got.installed, got.companions, paths[0], answer.target)


def _ask_about_risk(
    question: Question, answer: Answer, catalog: Catalog, http: Http | None
) -> tuple[Question, Answer]:
    """At a terminal, offer a build that is known to misbehave rather than none."""
    if not can_ask():
        return question, answer
    daring = replace(question, allow_risky=True)
    risky = daring.answer(catalog, http)
    if risky.choice is None:
        return question, answer
    _announce(risky)
    return (daring, risky) if says_yes("Take it all the same?") else (question, answer)


def _announce(answer: Answer) -> None:
    """Say before anything long begins what was chosen and why; nothing if there is no choice."""
    if answer.choice is None:
        return
    say(f"{safe(answer.model or answer.reference.text)} for {target_words(answer.target)}:")
    for line in (*choice_lines(answer.choice), *half_lines(answer)):
        say(line)
    from rkfetch.registry.refuse import passed_over

    for avoided in passed_over(answer.resolution):
        say_wrapped(avoided, lead="  passed over: ")
    warn_of_what_was_allowed(answer)


def warn_of_what_was_allowed(answer: Answer) -> None:
    """Say what nothing promises of what is taken."""
    choice = answer.choice
    if answer.target.runtime is None:
        unknown = "the board's runtime version is not known, so nothing promises that this loads"
        say_wrapped(f"{unknown}; say --runtime X.Y.Z", lead="warning: ")
    elif choice is not None and choice.verdict.level is Level.RISKY:
        say("warning: this pair was seen to misbehave (it is taken all the same)")
    elif choice is not None and choice.verdict.level is Level.UNKNOWN:
        say("warning: nothing promises that this loads (taken because of --allow-unverified)")


def _conclude(got: Got) -> None:
    """Say what was done, of the model and of what belongs to it."""
    came = human_bytes(sum(item.record.size_bytes for item in got.came))
    earlier = f" ({human_bytes(got.resumed_from)} were here already)" if got.resumed_from else ""
    if not got.came:
        say("already here and verified")
    elif got.action == "imported":
        say(f"taken from the folder where it lies, and verified, {came}")
    elif got.action == "present":
        say(f"already here; its vision encoder was downloaded and verified, {came}{earlier}")
    else:
        say(f"downloaded and verified, {came}{earlier}")
    for companion in got.companions:
        say_wrapped(str(companion.path), lead="its vision encoder: ")
    if got.alone is not None:
        say_wrapped(got.alone, lead="warning: ")


@asks
def resolve_command(question: Question, *, quiet: options.QuietOption = False) -> None:
    """Say which build `rkfetch MODEL` would take, without downloading it.

    Prints hf:OWNER/REPO/PATH of the build, which `rkfetch` takes again; ms: means ModelScope,
    folder: a scanned folder of this machine. Headers of builds with an
    unknown toolkit are read online where they could change the answer.

    \b
    Examples:
      rkfetch resolve qwen2.5-1.5b --runtime 1.2.3
      rkfetch resolve qwen3-4b@w8a8 --runtime 1.2.3 --memory 8G --json
    """
    from rkfetch.registry.store import Store, home

    network = open_network(offline=question.offline, patient=False)
    with open_catalog(quiet=quiet or question.as_json) as catalog, network as http:
        answer = _looked_up(question, catalog, http)
    try:
        choice = answer.require()
    except RkfetchError as error:
        error.answer = answer_json(answer, action="none", candidate=None)
        raise
    if not (quiet or question.as_json):
        _announce(answer)
    if question.as_json:
        from rkfetch.registry.fetch import installed

        here = choice.artifact.is_local or installed(Store(home()), choice.artifact)
        emit_json(answer_json(answer, action="use" if here else "download", candidate=choice))
    else:
        emit(address(answer))


def _looked_up(question: Question, catalog: Catalog, http: Http | None) -> Answer:
    """Answer a question; where nobody has published a build, name the command that makes one."""
    try:
        return question.answer(catalog, http)
    except ConversionUnavailableError as error:
        from .conversion import How, command_line

        command = command_line(question, How(), question.target)
        error.hint = f"{error.hint}; or make one on an x86_64 Linux PC: {command}"
        raise


def address(answer: Answer) -> str:
    """Return the reference that names the chosen file exactly."""
    from rkfetch.catalog.models import exactly

    assert answer.choice is not None  # the caller has required it
    artifact = answer.choice.artifact
    return safe(exactly(artifact.source, artifact.name), limit=2000)


@asks
def explain_command(question: Question) -> None:
    """Show every build of a model with its verdict on the board, and the reason for each.

    Exits 0 whatever the verdicts are: it answers a question. `rkfetch resolve` is for scripts.

    \b
    Examples:
      rkfetch explain qwen2.5-1.5b --runtime 1.2.3
      rkfetch explain deepseek-r1-1.5b --runtime 1.2.3 --memory 8G
    """
    network = open_network(offline=question.offline, patient=False)
    with open_catalog() as catalog, network as http:
        answer = _looked_up(question, catalog, http)
    if question.as_json:
        action = "none" if answer.choice is None else "download"
        emit_json(answer_json(answer, action=action, candidate=answer.choice))
        return
    for line in explain_lines(answer):
        emit(line)
    _say_what_next(answer)


def _say_what_next(answer: Answer) -> None:
    try:
        answer.require()
    except RkfetchError as error:
        say_wrapped(error.hint or "", lead="hint: ")
    else:
        say(f"To get it: rkfetch {safe(answer.reference.text)} (with the same options)")
