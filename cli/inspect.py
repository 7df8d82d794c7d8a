"""``rkfetch inspect``: what a file says about itself, and what that means for a board."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from rkfetch.registry.errors import IntegrityError, UsageError
from rkfetch.registry.model import Artifact, Platform, settle

from . import options  # noqa: TC001 - typer reads the annotations
from .answers import reason_json, reason_lines, target_json, target_words
from .output import emit, emit_json, human_bytes, safe, say

if TYPE_CHECKING:
    from collections.abc import Iterator

    from rkfetch.registry.compat import Verdict
    from rkfetch.registry.model import Target
    from rkfetch.registry.rkllm import RkllmFacts

_HUB_HOSTS = {"huggingface.co", "www.huggingface.co", "hf.co"}
_MODELSCOPE_HOSTS = {f"{w}modelscope.{top}" for w in ("", "www.") for top in ("cn", "ai")}
_HUB_FILE = re.compile(r"/([^/]+/[^/]+)/(?:resolve|blob|raw)/([^/]+)/(.+)")
_REFERENCE = re.compile(r"(?:hf|huggingface|ms|modelscope):\S")

FileArgument = Annotated[
    str,
    typer.Argument(
        metavar="FILE",
        help="A file here, an http(s) address, or one file on a hub: "
        "hf:OWNER/REPO/PATH.rkllm[@REVISION], ms: for ModelScope.",
    ),
]
FullOption = Annotated[
    bool,
    typer.Option(
        "--full",
        help="Show every key; of a remote file, read the whole head, up to 16 MB of it.",
    ),
]


@dataclass(frozen=True, slots=True, kw_only=True)
class Inspected:
    """A file, what it says about itself, and what that means."""

    name: str
    """As the user wrote it."""
    artifact: Artifact
    """With the file's own evidence, and with what its name claims."""
    facts: RkllmFacts
    target: Target | None
    """None if no board was named or found."""
    verdict: Verdict | None


def inspect_command(
    file: FileArgument,
    *,
    platform: options.PlatformOption = None,
    runtime: options.RuntimeOption = None,
    sysroot: options.SysrootOption = "/",
    full: FullOption = False,
    offline: options.OfflineOption = False,
    as_json: options.JsonOption = False,
) -> None:
    """Read what an .rkllm file says about itself: SoC, toolkit, context, and whether it is whole.

    A remote file is read by range: some 16 kB where the toolkit wrote its keys first, a few MB
    where it wrote them last. Exits with 7 if it is no .rkllm model, or a cut off or broken one.

    \b
    Examples:
      rkfetch inspect model.rkllm
      rkfetch inspect hf:OWNER/REPO/FILE.rkllm --platform rk3576 --runtime 1.2.3
      rkfetch inspect https://example.org/model.rkllm --json
    """
    artifact, facts = _read(file, full=full, offline=offline)
    artifact = _with_claims(artifact, facts)
    target = _target(facts, platform=platform, runtime=runtime, sysroot=sysroot)
    inspected = Inspected(
        name=file,
        artifact=artifact,
        facts=facts,
        target=target,
        verdict=_judge(artifact, facts, target),
    )
    failure = _failure(inspected)
    if failure is not None:
        failure.answer = _as_json(inspected)
    if as_json and failure is None:
        emit_json(_as_json(inspected))
    elif not as_json and facts.format == "rkllm":
        for line in _lines(inspected, full=full):
            emit(line)
        say(f"read {human_bytes(facts.read_bytes)} in {facts.requests} pieces")
    if failure is not None:
        raise failure


# --- reading -----------------------------------------------------------------------------------


def _read(name: str, *, full: bool, offline: bool) -> tuple[Artifact, RkllmFacts]:
    """Read a file wherever it is; a local one always to the end of its head."""
    remote = _remote(name)
    if remote is not None:
        return remote, _read_remote(remote, full=full, offline=offline)
    from rkfetch.registry.rkllm_read import read_file

    path = Path(name)
    if not path.exists() and re.fullmatch(r"[^/\s]+/[^/\s]+/\S+\.rkllm(?:@\S+)?", name):
        raise UsageError(
            f"cannot read '{name}'",
            cause=["there is no such file here"],
            hint=f"if it is on the Hub: rkfetch inspect hf:{name}",
        )
    folder = path.resolve().parent.name
    return Artifact(source="folder", repo=folder, path=path.name), read_file(path, full=True)


def _read_remote(artifact: Artifact, *, full: bool, offline: bool) -> RkllmFacts:
    from rkfetch.registry.http import Http, RetryPolicy
    from rkfetch.registry.hub import HttpBytes, hub_token
    from rkfetch.registry.rkllm_read import read_rkllm

    patience = RetryPolicy(attempts=3)
    with Http(token=hub_token(), connect_timeout_s=5, retries=patience, offline=offline) as http:
        return read_rkllm(HttpBytes(http, artifact), full=full)


def _remote(name: str) -> Artifact | None:
    """Return the remote file that a name stands for; None for a local one.

    Raises:
        UsageError: it is meant to be remote and cannot be understood.
    """
    if name.lower().startswith(("http://", "https://")):
        return _from_url(name)
    return _referred(name) if _REFERENCE.match(name) else None


def _referred(name: str) -> Artifact:
    from rkfetch.catalog.models import parse_reference

    file = parse_reference(name).file
    if file is None:
        raise UsageError(f"'{name}' does not name a file", hint="hf:OWNER/REPO/PATH.rkllm")
    return Artifact(source=file.source, repo=file.repo, path=file.path, revision=file.revision)


def _from_url(url: str) -> Artifact:
    """Understand an address; that of a page or file of the Hub means the file in its repository."""
    from urllib.parse import unquote, urlsplit

    from rkfetch.registry.hub import endpoint, modelscope_endpoint

    try:
        parts = urlsplit(url)
        base, _, last = parts.path.rpartition("/")
    except ValueError:
        raise UsageError(f"'{url}' is not an address") from None
    on_hub = _HUB_FILE.fullmatch(parts.path)
    if on_hub and (parts.hostname in _HUB_HOSTS or url.startswith(f"{endpoint()}/")):
        repo, revision, path = map(unquote, on_hub.groups())
        return Artifact(source="huggingface", repo=repo, path=path, revision=revision)
    if parts.path.startswith("/models/") and (
        parts.hostname in _MODELSCOPE_HOSTS or url.startswith(f"{modelscope_endpoint()}/")
    ):
        return _referred(url)
    if not last or not parts.hostname:
        raise UsageError(f"'{url}' does not name a file")
    if parts.query not in {"", "download=true"}:
        raise UsageError(
            f"cannot read '{url}'",
            cause=["an address with a query, such as a signed one, cannot be read in pieces"],
            hint="download it, then: rkfetch inspect FILE",
        )
    root = f"{parts.scheme.lower()}://{parts.netloc}{base}"
    return Artifact(source="other", repo=root, path=unquote(last))


# --- judging -----------------------------------------------------------------------------------


def _with_claims(artifact: Artifact, facts: RkllmFacts) -> Artifact:
    """Add the file's own evidence and, weaker, what its name claims."""
    from rkfetch.catalog.naming import guess
    from rkfetch.registry.rkllm import facts_evidence

    claims = guess(artifact.repo, artifact.path, source=artifact.source).evidence
    said = facts_evidence(facts, place="the file itself", seen=None)
    return replace(artifact, size_bytes=facts.size_bytes, attributes=settle([*said, *claims]))


def _target(
    facts: RkllmFacts, *, platform: str | None, runtime: str | None, sysroot: str
) -> Target | None:
    """Return the board that was named or found; a runtime alone is asked about the file's SoC."""
    from rkfetch.registry.target import detect, target_from
    from rkfetch.registry.versions import parse_version

    wanted = Platform.parse(platform) if platform else None
    version = parse_version(runtime, what="runtime") if runtime else None
    board = detect(Path(sysroot))
    if wanted is None and version is None and not (board.platform or board.runtime):
        return None
    chosen = wanted or board.platform or facts.platform or Platform.RK3576
    return target_from(board, platform=chosen, runtime=version)


def _judge(artifact: Artifact, facts: RkllmFacts, target: Target | None) -> Verdict | None:
    from rkfetch.registry.judge import judge

    if target is None or facts.format != "rkllm" or facts.complete is False:
        return None
    return judge(artifact, target)


def _failure(inspected: Inspected) -> IntegrityError | None:
    facts = inspected.facts
    if facts.format != "rkllm":
        return IntegrityError(
            f"{inspected.name} is no .rkllm model",
            expected="rkllm",
            actual=facts.format,
            cause=[f"it is {facts.explanation}"],
        )
    if facts.complete is False:
        state = "not whole" if facts.refused is None else "broken"
        return IntegrityError(
            f"{inspected.name} is {state}",
            cause=facts.problems,
            hint="it has to be downloaded or exported again",
        )
    return None


# --- for scripts -------------------------------------------------------------------------------


def _as_json(inspected: Inspected) -> dict[str, Any]:
    facts, target, verdict = inspected.facts, inspected.target, inspected.verdict
    return {
        "status": "ok",
        "file": inspected.name,
        "format": facts.format,
        "explanation": facts.explanation,
        "bytes": facts.size_bytes,
        "toolkit": _text(facts.toolkit),
        "toolkit_origin": facts.toolkit_origin.value if facts.toolkit_origin else None,
        "toolkit_key": facts.toolkit_key,
        "toolkit_trailer": facts.toolkit_trailer,
        "platform": facts.platform.value if facts.platform else None,
        "platform_code": facts.platform_code,
        "npu_cores": facts.npu_cores,
        "max_context": facts.max_context,
        "architecture": facts.architecture,
        "model_name": facts.model_name,
        "file_type": facts.file_type,
        "quant": _text(facts.quant),
        "eos_type": facts.eos_type,
        "complete": facts.complete,
        "read": {"bytes": facts.read_bytes, "requests": facts.requests},
        "not_read": list(_not_read(facts)),
        "problems": list(facts.problems),
        "target": target_json(target) if target else None,
        "verdict": {
            "level": verdict.level.value,
            "reasons": [reason_json(r) for r in verdict.reasons],
        }
        if verdict
        else None,
        "keys": {key: _plain(value) for key, value in facts.keys.items()},
        "error": None,
    }


def _text(value: object) -> str | None:
    return None if value is None else str(value)


def _plain(value: Any) -> Any:
    """Make a value fit for JSON, which has no NaN and no infinity."""
    if isinstance(value, float) and not math.isfinite(value):
        return str(value)
    if isinstance(value, dict):
        return {k: _plain(v) for k, v in value.items()}
    return [_plain(v) for v in value] if isinstance(value, list) else value


def _not_read(facts: RkllmFacts) -> tuple[str, ...]:
    """Return every fact that may be in the file but was not reached, wanted or not."""
    if facts.format != "rkllm" or facts.all_keys_read:
        return facts.not_read
    extra = {"model_name": facts.model_name, "eos_type": facts.eos_type}
    return (
        *facts.not_read,
        *(name for name, value in extra.items() if value is None and name not in facts.not_read),
    )


# --- for people --------------------------------------------------------------------------------


def _lines(inspected: Inspected, *, full: bool) -> Iterator[str]:
    facts = inspected.facts
    yield f"{safe(inspected.name)}: {_headline(facts)}"
    yield ""
    for label, value in _rows(inspected):
        yield f"  {label:<13} {safe(value)}"
    if full:
        yield ""
        for key, value in facts.keys.items():
            yield f"  {safe(key)} = {safe(_value_text(value), limit=200)}"
    yield ""
    yield from _meaning(inspected)
    for problem in _warnings(inspected):
        yield f"warning: {safe(problem, limit=1000)}"
    unread = _not_read(facts)
    if unread:
        more = "" if full else " (--full reads on)"
        yield f"not read: {', '.join(n.replace('_', ' ') for n in unread)}{more}"


def _headline(facts: RkllmFacts) -> str:
    broken = ", cut off" if facts.refused is None else ", with a broken header"
    whole = {True: "", False: broken, None: ", whether it is whole cannot be told"}
    on = f" for {facts.platform_text}" if facts.platform_text else ""
    by = f", made by toolkit {facts.toolkit}" if facts.toolkit else ""
    return f"an RKLLM model{safe(on)}{by}{whole[facts.complete]}"


def _rows(inspected: Inspected) -> Iterator[tuple[str, str]]:
    facts = inspected.facts
    context = f"{facts.max_context} tokens" if facts.max_context else None
    model = f" ({facts.model_name})" if facts.model_name else ""
    rows = {
        "toolkit": _toolkit_text(facts),
        "platform": facts.platform_text,
        "npu_cores": _text(facts.npu_cores),
        "max_context": context,
        "architecture": facts.architecture + model if facts.architecture else None,
        "file_type": _quant_text(inspected),
        "eos_type": facts.eos_type,
    }
    labels = {"max_context": "context", "file_type": "quantisation", "eos_type": "EOS id type"}
    unread = _not_read(facts)
    for name, value in rows.items():
        absent = "not read" if name in unread else "not recorded"
        yield labels.get(name, name.replace("_", " ")), value or absent
    yield "size", human_bytes(facts.size_bytes)


def _toolkit_text(facts: RkllmFacts) -> str | None:
    if facts.toolkit is None:
        return None
    if facts.toolkit_key is not None and facts.toolkit_trailer is not None:
        return f"{facts.toolkit} (key; the trailer says {facts.toolkit_trailer})"
    if facts.toolkit_key is not None:
        return f"{facts.toolkit} (key)"
    if facts.toolkit_trailer is not None:
        return f"{facts.toolkit} (trailer)"
    return f"{facts.toolkit} (by its layout: 1.0.x records no version)"


def _quant_text(inspected: Inspected) -> str | None:
    """Show the quantisation, and beside an unknown code what the name claims."""
    facts = inspected.facts
    claimed = inspected.artifact.quant
    if facts.quant is not None or claimed is None:
        return facts.quant_text
    return f"{facts.quant_text or 'not recorded'} (its name claims {claimed})"


def _value_text(value: Any) -> str:
    if not isinstance(value, dict):
        return str(value)
    first = ", ".join(map(str, value["first"]))
    return f"{value['count']} x {value['element']}: {first}{', …' if value['count'] > 3 else ''}"


def _meaning(inspected: Inspected) -> Iterator[str]:
    """Say what it means for the board, or which runtime it takes."""
    target, verdict, toolkit = inspected.target, inspected.verdict, inspected.facts.toolkit
    if target is not None and verdict is not None:
        yield f"on {target_words(target)}: {verdict.level.value}"
        for reason in verdict.reasons:
            yield from reason_lines(reason, lead="  ")
    elif target is None and toolkit is not None:
        takes = "1.0.x" if toolkit.release < (1, 1) else f"{toolkit} or newer"
        yield f"it takes librkllmrt {takes}; --platform and --runtime judge it for a board"


def _warnings(inspected: Inspected) -> Iterator[str]:
    if inspected.facts.complete is not False:
        yield from inspected.facts.problems
    for name in ("toolkit", "platform", "quant", "context"):
        attribute = inspected.artifact.attribute(name)
        for weaker in attribute.overruled:
            if weaker.origin.value != "trailer":
                said = f"{weaker.origin.words} says {name} {weaker.value}"
                yield f"{said}, which the file contradicts"
