"""``rkfetch convert``: make a build that nobody has published."""

from __future__ import annotations

from contextlib import ExitStack, suppress
from dataclasses import fields, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, NoReturn

import typer

from rkfetch.registry import settings
from rkfetch.registry.errors import ConversionUnavailableError, RkfetchError, UsageError
from rkfetch.registry.model import CONVERTED, LOCAL

from . import options, spending
from .answers import question_json
from .asking import can_ask, says_yes
from .conversion import Conversion, How, command_line
from .conversion_after import Afterwards, Done
from .opening import open_catalog, open_network
from .output import emit, emit_json, human_bytes, safe, say, say_wrapped
from .plan_text import plan_lines
from .question import Question, asks  # noqa: TC001 - asks evaluates the annotations

if TYPE_CHECKING:
    from collections.abc import Iterator

    from rkfetch.catalog.database import Catalog
    from rkfetch.registry.convert.run import Converted
    from rkfetch.registry.http import Http
    from rkfetch.registry.metered import Costs

    from .conversion_on import ConversionOn
    from .serving import Serving

BaseModelArgument = Annotated[
    str,
    typer.Argument(
        metavar="MODEL",
        help="The base model as you would call it: qwen2.5-1.5b, Qwen/Qwen2.5-1.5B-Instruct, any "
        "OWNER/NAME on the Hub; a folder (./NAME); a .gguf file. With @w8a8 to insist on a "
        "quantisation.",
    ),
]
DryRunOption = Annotated[
    bool, typer.Option("--dry-run", "-n", help="Print the plan, and whether it can be done here.")
]
ToolkitOption = Annotated[
    str | None,
    typer.Option(
        "--toolkit",
        metavar="X.Y.Z",
        help="The release of rkllm-toolkit. By itself: the newest that the runtime accepts.",
    ),
]
RevisionOption = Annotated[
    str | None,
    typer.Option("--revision", metavar="REV", help="Branch, tag or commit of the base model."),
]
DtypeOption = Annotated[
    str | None,
    typer.Option(
        "--dtype",
        metavar="TYPE",
        help="How the base model is loaded: float32, or bfloat16 or float16 in half the memory.",
    ),
]
AlgorithmOption = Annotated[
    str | None,
    typer.Option("--algorithm", metavar="NAME", help="normal, or grq (w4a16 kinds, with a GPU)."),
]
LevelOption = Annotated[
    int | None,
    typer.Option(
        "--optimization-level",
        metavar="0|1",
        min=0,
        max=1,
        help="1 is more exact and takes far longer.",
    ),
]
CoresOption = Annotated[
    int | None,
    typer.Option("--npu-cores", metavar="N", min=1, max=3, help="By itself all that the SoC has."),
]
HybridOption = Annotated[
    float | None,
    typer.Option("--hybrid-rate", metavar="R", help="0 to below 1: mix grouped and plain types."),
]
DatasetOption = Annotated[
    str | None,
    typer.Option(
        "--dataset",
        metavar="FILE",
        help='Your own calibration data: a JSON list of {"input": "…", "target": "…"}, about 50.',
    ),
]
DeviceOption = Annotated[
    str | None, typer.Option("--device", metavar="cpu|cuda", help="Where the toolkit computes.")
]
EnvironmentOption = Annotated[
    str,
    options.fixable(
        "convert_environment",
        "--environment",
        metavar="auto|container|venv",
        help="Where the toolkit runs. By itself in a container where podman or docker works.",
    ),
]
WheelOption = Annotated[
    str | None,
    typer.Option(
        "--toolkit-wheel",
        metavar="FILE",
        help="The vendor's wheel, which you have already; its digest has to be a known one.",
    ),
]
UnknownToolkitOption = Annotated[
    bool,
    typer.Option("--allow-unknown-toolkit", help="Run a wheel of which no digest is known."),
]
TrustCodeOption = Annotated[
    bool,
    typer.Option(
        "--trust-code",
        help="Without a container: run the Python code that lies with the model, as yourself.",
    ),
]
OutputOption = Annotated[
    str | None,
    typer.Option(
        "--output", "-o", metavar="DIR", help="Place the file here too, as `rkfetch -o` does."
    ),
]
YesOption = Annotated[
    bool, typer.Option("--yes", "-y", help="Ask nothing: convert, and upload if that was asked.")
]
OnOption = Annotated[
    str | None,
    typer.Option(
        "--on",
        metavar="ssh://USER@HOST",
        help="Convert on that machine, which has rkfetch too, and bring the file here.",
    ),
]
DeliverOption = Annotated[
    str | None,
    typer.Option(
        "--deliver",
        metavar="USER@BOARD:DIR",
        help="Then copy the file to a board, which needs nothing but ssh, and check it there.",
    ),
]
UploadOption = Annotated[
    str | None,
    typer.Option(
        "--upload",
        metavar="OWNER/NAME|OWNER",
        help="Then publish it on the Hub with a model card; of OWNER alone, under the usual name.",
    ),
]
PrivateOption = Annotated[
    bool, typer.Option("--private", help="With --upload: in a private repository.")
]


@partial(asks, model=BaseModelArgument)
def convert_command(
    question: Question,
    *,
    dry_run: DryRunOption = False,
    yes: YesOption = False,
    output: OutputOption = None,
    toolkit: ToolkitOption = None,
    revision: RevisionOption = None,
    dtype: DtypeOption = None,
    algorithm: AlgorithmOption = None,
    optimization_level: LevelOption = None,
    npu_cores: CoresOption = None,
    hybrid_rate: HybridOption = None,
    dataset: DatasetOption = None,
    device: DeviceOption = None,
    convert_environment: EnvironmentOption = "auto",
    toolkit_wheel: WheelOption = None,
    allow_unknown_toolkit: UnknownToolkitOption = False,
    trust_code: TrustCodeOption = False,
    on: OnOption = None,
    deliver: DeliverOption = None,
    upload: UploadOption = None,
    private: PrivateOption = False,
    metered: spending.MeteredOption = "auto",
    quiet: options.QuietOption = False,
) -> None:
    """Make the build that nobody has published, with Rockchip's own toolkit; print its path.

    On an x86_64 Linux PC. The toolkit is fetched from the vendor's repository and checked, the
    base model from the Hub; both are kept for the next time. MODEL may be a folder (./NAME) or a
    GGUF file (fp16, q4_0), too. `rkfetch MODEL` looks for a published build first.

    \b
    Examples:
      rkfetch convert qwen2.5-1.5b --runtime 1.2.3 --dry-run
      rkfetch convert qwen2.5-1.5b@w8a8 --runtime 1.2.3 --context 8192
      rkfetch convert ./my-finetune --platform rk3588 --runtime 1.2.1 -o .
      rkfetch convert qwen3-4b --runtime 1.2.3 --on ssh://me@big-pc
    """
    given = {**locals(), "environment": convert_environment}
    how = How(**{item.name: given[item.name] for item in fields(How)})
    silent = quiet or question.as_json
    after = Afterwards.parse(
        deliver=deliver, upload=upload, private=private, offline=question.offline
    )
    target = question.target
    network = open_network(offline=question.offline, patient=True)
    with ExitStack() as stack, open_catalog(quiet=silent) as catalog, network as http:
        conversion: Conversion | ConversionOn
        if on is not None:
            from rkfetch.registry.ssh import RemoteHost

            from .conversion_on import ConversionOn

            host = RemoteHost.parse(on)
            conversion = ConversionOn(host, stack, question, how, target, quiet=quiet)
            conversion.prepare()
        else:
            conversion = Conversion(question, how, target, quiet=quiet)
            conversion.prepare(catalog, http)
        if not silent:
            _mention_what_is_published(question, catalog)
        if dry_run:
            _answer_with_plan(conversion, after, as_json=question.as_json)
            return
        here = conversion.made_before()
        if here is None or after.upload is not None:
            _agree(conversion, after, here, yes=yes, silent=silent)
        if here is None:
            conversion.require_consent_to_code()
            conversion.require_link(_costs(conversion, "no" if yes else metered, silent=silent))
        board = after.open(stack, conversion.values)
        made = here or conversion.carry_out(catalog, http)
        done = after.carry_out(
            made, conversion.values, board=board, catalog=catalog, progress=conversion.progress
        )
    _conclude(conversion, question, made, done, output=output, quiet=silent)


def _agree(
    conversion: Conversion | ConversionOn,
    after: Afterwards,
    here: Converted | None,
    *,
    yes: bool,
    silent: bool,
) -> None:
    """Say what it takes, make sure that it can be done, and ask.

    Raises:
        ConversionUnavailableError, DiskSpaceError: this machine cannot do it.
        UsageError: nobody agreed.
    """
    if here is None:
        _tell(plan_lines(conversion.values), silent)
        conversion.check()
        _tell(conversion.where_lines(), silent)
    _tell(after.lines(conversion.values), silent)
    doing = [*(["convert it"] if here is None else []), *(["publish it"] if after.upload else [])]
    what = " and ".join(doing)
    if not yes and not silent and can_ask():
        yes = says_yes(f"{what.capitalize()} now?")
    elif after.upload is None:
        yes = True  # who typed the command wants it
    if not yes:
        raise UsageError(f"nobody agreed to {what}", hint="--yes asks nothing")


def _costs(conversion: Conversion | ConversionOn, metered: str, *, silent: bool) -> Costs:
    return spending.costs_of(metered, None if silent else conversion.progress)


def _tell(lines: Iterator[str], silent: bool) -> None:
    for line in () if silent else lines:
        say(line)


def _mention_what_is_published(question: Question, catalog: Catalog) -> None:
    """Save somebody half an hour, if what they want can be downloaded."""
    with suppress(RkfetchError):
        answer = replace(question, offline=True).answer(catalog, None)
        published = answer.choice.artifact if answer.choice is not None else None
        if published is not None and published.source not in {LOCAL, CONVERTED}:
            note = f"a build that fits is published, in {safe(published.repo)}"
            say_wrapped(f"{note}: `rkfetch {safe(question.model)}`", lead="note: ")


def convert_instead(
    question: Question,
    nothing_fits: RkfetchError,
    catalog: Catalog,
    http: Http | None,
    *,
    when: str,
    metered: str,
    output: str | None,
    serve: Serving | None,
    quiet: bool,
) -> None:
    """Convert what was asked for, because no published build of it may be used.

    With ``when`` it is ``auto``, only after somebody at the terminal has agreed to what it takes.

    Raises:
        RkfetchError: ``nothing_fits``, with why nothing is converted and what can be done.
    """
    from rkfetch.catalog.models import parse_reference

    if when == "never" or parse_reference(question.model).file is not None:
        raise nothing_fits
    target = question.target
    where: str = settings.value("convert_environment") or "auto"
    conversion = Conversion(question, How(environment=where), target, quiet=quiet)
    silent = quiet or question.as_json
    is_asked = when == "always" or (not silent and can_ask())
    try:
        if not is_asked:
            # Where builds exist that do not fit, that error names the command already.
            if isinstance(nothing_fits, ConversionUnavailableError):
                _refuse_unasked(conversion, command_line(question, How(), target, "--dry-run"))
            raise nothing_fits
        conversion.prepare(catalog, http)
        conversion.check()
    except RkfetchError as error:
        # What only the offer would have needed does not change the answer.
        is_answer = when == "always" and not isinstance(error, ConversionUnavailableError)
        if error is nothing_fits or is_answer:
            raise
        raise _joined(nothing_fits, error) from error
    if not silent:
        say(f"No published build fits: {safe(nothing_fits.message, limit=200)}.")
    _tell(plan_lines(conversion.values), silent)
    _tell(conversion.where_lines(), silent)
    if when == "auto" and not says_yes("Convert it now?"):
        raise nothing_fits
    conversion.require_consent_to_code()
    conversion.require_link(_costs(conversion, metered, silent=silent))
    if serve is not None:
        serve.require_folder()
    made = conversion.carry_out(catalog, http)
    _conclude(conversion, question, made, Done(), output=output, serve=serve, quiet=silent)


def _refuse_unasked(conversion: Conversion, command: str) -> NoReturn:
    """Say that it could be converted, and how to see what that would take.

    Raises:
        ConversionUnavailableError: always.
    """
    conversion.require_pc()
    raise ConversionUnavailableError(
        "it is not converted unasked", hint=f"--convert always, or first: {command}"
    )


def _joined(nothing_fits: RkfetchError, why: RkfetchError) -> RkfetchError:
    """Say in one error what does not fit, and why nothing that would is made."""
    nothing_fits.cause = (*nothing_fits.cause, why.message, *why.cause)
    hints = [nothing_fits.hint, f"to convert it: {why.hint}" if why.hint else None]
    nothing_fits.hint = "; ".join(hint for hint in hints if hint) or None
    return nothing_fits


def _conclude(
    conversion: Conversion | ConversionOn,
    question: Question,
    made: Converted,
    done: Done,
    *,
    output: str | None,
    serve: Serving | None = None,
    quiet: bool,
) -> None:
    """Print where the file is."""
    record = made.installed.record
    path = made.installed.path
    if output is not None:
        from rkfetch.registry.store import Store, home

        path = Store(home()).place(made.installed, Path(output))
    given = serve.deliver(made.installed, (), path, conversion.target) if serve else None
    if not quiet:
        was = "already here" if made.was_here else "converted"
        say(f"{was} and verified, {human_bytes(record.size_bytes)}")
        done.tell()
        if given is not None:
            given.tell()
    if not question.as_json:
        emit(given.answer if given else str(path))
        return
    emit_json(
        {
            **question_json(question.model, conversion.target),
            "model": record.model,
            "action": "present" if made.was_here else "converted",
            **(given.as_json() if given else {"path": str(path)}),
            "artifact": {
                "source": record.source,
                "repo": record.repo,
                "path": record.path,
                "revision": record.revision,
                "bytes": record.size_bytes,
                "sha256": record.sha256,
            },
            "plan": conversion.values,
            "made": dict(made.made),
            **done.as_json(),
        }
    )


def _answer_with_plan(
    conversion: Conversion | ConversionOn, after: Afterwards, *, as_json: bool
) -> None:
    """Print the plan even where it cannot be carried out, and then say that.

    Raises:
        ConversionUnavailableError, DiskSpaceError: this machine cannot do it.
    """
    if not as_json:
        for line in plan_lines(conversion.values, with_sources=True):
            emit(line)
    try:
        conversion.check()
    except RkfetchError as error:
        error.answer = {"plan": conversion.values}
        raise
    if as_json:
        emit_json({"status": "ok", "plan": conversion.values, "error": None})
        return
    for line in (*conversion.where_lines(), *after.lines(conversion.values)):
        emit(line)
