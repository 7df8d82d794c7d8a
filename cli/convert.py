"""``rkfetch convert``: make a build that nobody has published."""

from __future__ import annotations

from dataclasses import fields
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from rkfetch.registry.errors import RkfetchError, UsageError

from . import options
from .conversion import Conversion, How, can_ask, emit_plan, says_yes
from .opening import open_catalog, open_network
from .output import emit, emit_json, human_bytes, say
from .question import Question, asks  # noqa: TC001 - asks evaluates the annotations

if TYPE_CHECKING:
    from rkfetch.registry.convert.run import Converted

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
        "environment",
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


@asks
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
    environment: EnvironmentOption = "auto",
    toolkit_wheel: WheelOption = None,
    allow_unknown_toolkit: UnknownToolkitOption = False,
    trust_code: TrustCodeOption = False,
    on: OnOption = None,
    deliver: DeliverOption = None,
    upload: UploadOption = None,
    private: PrivateOption = False,
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
    given = locals()
    how = How(**{item.name: given[item.name] for item in fields(How)})
    target = options.make_target(
        platform=question.platform,
        runtime=question.runtime,
        driver=question.driver,
        memory=question.memory,
        context=question.context,
        sysroot=question.sysroot,
    )
    conversion = Conversion(question, how, target, quiet=quiet)
    silent = quiet or question.as_json
    network = open_network(offline=question.offline, patient=True)
    with open_catalog(quiet=silent) as catalog, network as http:
        conversion.prepare(catalog, http)
        if dry_run:
            _answer_with_plan(conversion, as_json=question.as_json)
            return
        if not silent:
            for line in conversion.lines():
                say(line)
        conversion.check()
        if not silent:
            for line in conversion.where_lines():
                say(line)
        if not (yes or silent) and can_ask() and not says_yes("Convert it now?"):
            raise UsageError("nobody agreed to convert it", hint="--yes asks nothing")
        conversion.require_consent_to_code()
        made, was_here = conversion.carry_out(catalog, http)
    path = _placed(made, output)
    record = made.installed.record
    if not silent:
        done = "already here" if was_here else "converted"
        say(f"{done} and verified, {human_bytes(record.size_bytes)}")
    if not question.as_json:
        emit(str(path))
        return
    emit_json(
        {
            "status": "ok",
            "reference": question.model,
            "model": record.model,
            "action": "present" if was_here else "converted",
            "path": str(path),
            "artifact": {
                "source": record.source,
                "repo": record.repo,
                "path": record.path,
                "revision": record.revision,
                "bytes": record.size_bytes,
                "sha256": record.sha256,
            },
            "plan": conversion.as_json(),
            "made": dict(made.made),
            "error": None,
        }
    )


def _answer_with_plan(conversion: Conversion, *, as_json: bool) -> None:
    """Print the plan even where it cannot be carried out, and then say that.

    Raises:
        ConversionUnavailableError, DiskSpaceError: this machine cannot do it.
    """
    if not as_json:
        emit_plan(conversion)
    try:
        conversion.check()
    except RkfetchError as error:
        error.answer = {"plan": conversion.as_json()}
        raise
    if as_json:
        emit_json({"status": "ok", "plan": conversion.as_json(), "error": None})
        return
    for line in conversion.where_lines():
        emit(line)


def _placed(made: Converted, output: str | None) -> Path:
    if output is None:
        return made.installed.path
    from rkfetch.registry.store import Store, home

    return Store(home()).place(made.installed, Path(output))
