"""``rkfetch catalog conflicts``: labels that files contradict, ready for who can mend them."""

from __future__ import annotations

import re
from enum import Enum
from typing import TYPE_CHECKING, Annotated, Any

import typer

from rkfetch.catalog.models import exactly

from . import options  # noqa: TC001 - typer reads the annotations
from .answers import source_prefix
from .opening import open_catalog
from .output import emit, emit_json, paint, safe, say, say_wrapped

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from rkfetch.catalog.conflicts import Conflict, Recipient
    from rkfetch.registry.model import Evidence


class Format(str, Enum):
    """How conflicts are written."""

    TEXT = "text"
    MARKDOWN = "markdown"
    JSON = "json"


def conflicts_command(
    *,
    repo: Annotated[
        str | None,
        typer.Option("--repo", metavar="OWNER/NAME", help="Only what this repository can settle."),
    ] = None,
    uploader: Annotated[
        str | None,
        typer.Option("--uploader", metavar="OWNER", help="Only what this uploader can settle."),
    ] = None,
    form: Annotated[
        Format,
        typer.Option("--format", help="markdown is a message for the uploader, as it is."),
    ] = Format.TEXT,
    as_json: options.JsonOption = False,
) -> None:
    """List labels that a file's own header contradicts, and files that lists disagree about.

    They are grouped by the repository, or the maintained list, that can settle them. Only headers
    that were read count: `rkfetch catalog update` reads them. The exit code is 0 whatever is found.

    \b
    Examples:
      rkfetch catalog conflicts
      rkfetch catalog conflicts --repo OWNER/NAME --format markdown
    """
    from rkfetch.catalog.conflicts import conflicts

    with open_catalog(quiet=True) as catalog:
        found = conflicts(catalog, repo=repo, uploader=uploader)
        probed = catalog.status().probed
    if as_json or form is Format.JSON:
        emit_json({"headers_read": probed, "recipients": [_json(r) for r in found]})
        return
    for line in _markdown(found) if form is Format.MARKDOWN else _text(found):
        emit(line)
    if not found:
        among = " of " + safe(repo or uploader or "") if repo or uploader else ""
        say_wrapped(
            f"no conflict{among}: no label is contradicted by a header that was read ({probed} "
            "were), and no labels disagree"
        )


def _address(conflict: Conflict) -> str:
    return exactly(conflict.source, f"{conflict.repo}/{conflict.path}")


def _can_be_read(conflict: Conflict) -> bool:
    return conflict.source in {"huggingface", "modelscope"}


# --- for a person ------------------------------------------------------------------------------


def _text(found: Sequence[Recipient]) -> Iterator[str]:
    for number, recipient in enumerate(found):
        if number:
            yield ""
        yield paint(safe(source_prefix(recipient.host) + recipient.repo), "bold")
        for conflict in recipient.conflicts:
            own = (conflict.source, conflict.repo) == (recipient.host, recipient.repo)
            yield f"  {safe(conflict.path if own else _address(conflict), limit=2000)}"
            for label in conflict.labels:
                seen = f" ({label.seen[:10]})" if label.seen else ""
                value = safe(f"{conflict.attribute} {label.value}")
                yield f"    {label.origin.words} says {value}{seen}:"
                yield f"      {safe(label.place, limit=2000)}"
            if conflict.header is None:
                yield "    its header was not read"
            else:
                yield f"    its header says {conflict.attribute} {safe(conflict.header)}"
    if found:
        say("to write this to who can settle it: --repo OWNER/NAME --format markdown")


# --- for the uploader --------------------------------------------------------------------------

_NAMES = {
    "toolkit": "rkllm-toolkit version",
    "platform": "SoC",
    "quant": "quantisation",
    "context": "context limit",
    "npu_cores": "NPU cores",
}


def _markdown(found: Sequence[Recipient]) -> Iterator[str]:
    for number, recipient in enumerate(found):
        if number:
            yield from ("", "---", "")
        yield from _message(recipient)


def _message(recipient: Recipient) -> Iterator[str]:
    wrong = [c for c in recipient.conflicts if c.header is not None]
    open_ = [c for c in recipient.conflicts if c.header is None]
    yield f"# {_md(recipient.repo)}: labels to check"
    yield ""
    yield "Hello, and thank you for sharing these files."
    if wrong:
        yield ""
        yield (
            "For the following, the label and the file itself do not agree. A runtime goes by the "
            "file, so whoever chooses by the label may get one that does not load."
        )
        yield ""
        yield "| file | what | the label says | where | the file's header says |"
        yield "| --- | --- | --- | --- | --- |"
        for conflict in wrong:
            for label in conflict.labels:
                yield (
                    f"| {_code(_file(recipient, conflict))} | {_NAMES[conflict.attribute]} "
                    f"| {_md(label.value)} | {_where(label)} | {_md(conflict.header or '')} |"
                )
    if open_:
        yield ""
        yield "For the following, published labels of the very same content disagree:"
        yield ""
        yield "| file | SHA-256 | what | one says | where |"
        yield "| --- | --- | --- | --- | --- |"
        for conflict in open_:
            for label in conflict.labels:
                yield (
                    f"| {_code(_file(recipient, conflict))} | {_code(conflict.sha256 or '')} "
                    f"| {_NAMES[conflict.attribute]} | {_md(label.value)} | {_where(label)} |"
                )
    yield from _how_to_check(recipient)


def _how_to_check(recipient: Recipient) -> Iterator[str]:
    commands = dict.fromkeys(
        f"rkfetch inspect {_shell(_address(c))}" for c in recipient.conflicts if _can_be_read(c)
    )
    if commands:
        yield ""
        yield "To check it (this reads the header by two range requests, not the weights):"
        yield ""
        yield "```sh"
        yield from commands
        yield "```"
    yield ""
    yield (
        "The runtime prints the same when it loads the file: `rkllm-toolkit version: …, "
        "target_platform: …`. Would you correct the label, or tell us where we are mistaken? "
        "Thank you."
    )


def _file(recipient: Recipient, conflict: Conflict) -> str:
    own = (conflict.source, conflict.repo) == (recipient.host, recipient.repo)
    return conflict.path if own else f"{conflict.repo}/{conflict.path}"


def _where(label: Evidence) -> str:
    seen = f", {label.seen[:10]}" if label.seen else ""
    place = safe(label.place, limit=300)
    if re.fullmatch(r"https://[\w.~/%+@:=?&#-]+", place):
        return f"[{_md(label.origin.value)}]({place}){seen}"
    return f"{_md(label.origin.value)} {_code(place)}{seen}"


def _md(text: str) -> str:
    """Write foreign text so that Markdown shows it as it is."""
    return re.sub(r"([\\`*_\[\]<>|~&])", r"\\\1", safe(text))


def _code(text: str) -> str:
    """Write foreign text as code inside of a table."""
    return "`" + safe(text).replace("`", "'").replace("|", "\\|") + "`" if text else ""


def _shell(text: str) -> str:
    import shlex

    return shlex.quote(safe(text, limit=2000))


# --- for a script ------------------------------------------------------------------------------


def _json(recipient: Recipient) -> dict[str, Any]:
    return {
        "host": recipient.host,
        "repo": recipient.repo,
        "uploader": recipient.uploader,
        "conflicts": [
            {
                "source": conflict.source,
                "repo": conflict.repo,
                "path": conflict.path,
                "revision": conflict.revision,
                "sha256": conflict.sha256,
                "attribute": conflict.attribute,
                "header": conflict.header,
                "labels": [
                    {
                        "value": label.value,
                        "origin": label.origin.value,
                        "place": label.place,
                        "seen": label.seen,
                    }
                    for label in conflict.labels
                ],
                "check": f"rkfetch inspect {_shell(_address(conflict))}"
                if _can_be_read(conflict)
                else None,
            }
            for conflict in recipient.conflicts
        ],
    }
