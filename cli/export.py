"""``rkfetch export``: all that a board without a network needs, in a folder or one tar file."""

from __future__ import annotations

import os
import sys
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, cast

import typer

from rkfetch.registry.errors import (
    ConversionUnavailableError,
    IncompatibleError,
    RkfetchError,
    UnknownModelError,
    UsageError,
)

from . import options, spending
from .answers import choice_lines, target_words
from .catalog_publish import signer_of
from .opening import open_catalog, open_network
from .output import emit, emit_json, human_bytes, safe, say, say_wrapped
from .progress import for_output, for_reading
from .question import Question, asks  # noqa: TC001 - asks evaluates the annotations
from .selection import attribute_of, by_own_name, select, select_one
from .store import open_store

if TYPE_CHECKING:
    from rkfetch.catalog.carried.gathering import Chosen, Load
    from rkfetch.catalog.carried.making import Written
    from rkfetch.catalog.database import Catalog
    from rkfetch.registry.http import Http
    from rkfetch.registry.metered import Costs
    from rkfetch.registry.store import Installed, Store

    from .progress import Silent

_OF_THE_TOKENIZER = frozenset({"tokenizer", "chat-template", "config"})
_NO_ANSWER = (ConversionUnavailableError, IncompatibleError, UnknownModelError, UsageError)

ModelsArgument = Annotated[
    list[str],
    typer.Argument(
        metavar="MODEL...",
        help="What you would call it, as for `rkfetch MODEL`; or a file that is installed: its "
        "name, or the beginning of its SHA-256.",
    ),
]
OutputOption = Annotated[
    str,
    typer.Option(
        "--output",
        "-o",
        metavar="DIR|FILE.tar|-",
        help="A folder, which is made, or brought up to date if it is an export; a tar file; or - "
        "for a tar file on stdout.",
        show_default=False,
    ),
]
NoTokenizerOption = Annotated[
    bool,
    typer.Option("--no-tokenizer", help="Leave out the base model's tokenizer and configuration."),
]
SigningKeyOption = Annotated[
    Path | None,
    options.fixable(
        "signing_key",
        "--key",
        metavar="FILE",
        help="Sign the export with your secret key, of `rkfetch catalog keygen`.",
    ),
]


def _export(
    question: Question,
    *,
    output: OutputOption,
    no_tokenizer: NoTokenizerOption = False,
    signing_key: SigningKeyOption = None,
    metered: spending.MeteredOption = "auto",
    quiet: options.QuietOption = False,
) -> None:
    """Put models into a folder or a tar file, with all that a board without a network needs.

    That is, for each: the file, the vision encoder of the same SoC, the base model's tokenizer,
    licence and model card, and what the catalog knows of it. What is not here is fetched first.
    On the board `rkfetch import` takes it in. Run again, only what changed is written.

    \b
    Examples:
      rkfetch export qwen2.5-1.5b --platform rk3576 --runtime 1.2.3 -o /media/usb/models
      rkfetch export qwen3-1.7b qwen2.5-1.5b@w8a8 --runtime 1.2.3 -o models.tar
      rkfetch export qwen3-0.6b --runtime 1.2.3 -o - | ssh rock@board rkfetch import -

    \b
    Exit codes: 0 the export is whole, 2 wrong usage, 3 nothing compatible, 4 unknown model,
      5 gated, 6 network, 7 integrity, 8 disk, 9 memory, 11 offline (or a metered link),
      130 interrupted.
    """
    # `asks` gives what stands for MODEL as it was typed: here several.
    names = list(dict.fromkeys(cast("list[str]", question.model)))
    if output == "-" and question.as_json:
        raise UsageError("stdout cannot have the tar file and the JSON answer", hint="-o FILE.tar")
    if output == "-" and sys.stdout is not None and sys.stdout.isatty():
        raise UsageError("a terminal cannot take a tar file", hint="-o FILE.tar, or | another one")
    signer = signer_of(signing_key, unsigned=signing_key is None)
    silent = quiet or question.as_json
    network = open_network(offline=question.offline, patient=True)
    with open_catalog(quiet=silent) as catalog, network as http:
        task = _Task(
            question, catalog, http, metered=metered, tokenizer=not no_tokenizer, quiet=quiet
        )
        chosen = [task.have(name) for name in names]
        unique = list({c.installed.record.sha256: c for c in chosen}.values())
        from rkfetch.catalog.carried.gathering import gather

        title = output if output != "-" else "stdout"
        writing = for_reading(f"writing {safe(title)}", json_lines=question.as_json, quiet=quiet)
        with closing(writing) as progress:
            if output == "-" or _is_tar(output):
                load = gather(unique, catalog=catalog, signer=signer)
                written = _write_tar(load, output, progress)
            else:
                from rkfetch.catalog.carried.making import folder_for

                with folder_for(Path(output).expanduser()) as folder:
                    load = gather(unique, catalog=catalog, signer=signer, before=folder.before)
                    written = folder.write(load, progress)
    where = output if output == "-" else str(Path(output).expanduser().absolute())
    if question.as_json:
        emit_json({"status": "ok", **_json(load, written, where, unique, task.missing)})
        return
    if not quiet:
        _say(load, written, title)
    if output != "-":
        emit(where)


export_command = asks(_export, model=ModelsArgument)


def _is_tar(output: str) -> bool:
    path = Path(output).expanduser()
    return path.suffix.lower() == ".tar" and not path.is_dir()


class _Task:
    """Has the models, one after the other."""

    def __init__(
        self,
        question: Question,
        catalog: Catalog,
        http: Http | None,
        *,
        metered: str,
        tokenizer: bool,
        quiet: bool,
    ) -> None:
        self._question = question
        self._catalog = catalog
        self._http = http
        self._metered = metered
        self._tokenizer = tokenizer
        self._quiet = quiet
        self._silent = quiet or question.as_json
        self._store = open_store()
        self.missing: list[str] = []
        """What had to be left out, as sentences."""

    def have(self, name: str) -> Chosen:
        """Have a model on this machine, with what belongs to it."""
        from rkfetch.catalog.carried.gathering import Chosen
        from rkfetch.catalog.carried.surroundings import surround

        named = by_own_name(self._store.installed(), name)
        item = select_one(named, name) if named else self._resolved(name)
        item = self._store.find(item.record.sha256) or item
        title = f"fetching what belongs to {safe(item.path.name)}"
        with closing(self._reading(title)) as progress:
            item, missing = surround(
                self._store,
                item,
                http=self._http,
                tokenizer=self._tokenizer,
                progress=progress,
                costs=self._costs(progress),
            )
        companions = self._companions(item)
        self._leave_out(missing)
        without = frozenset() if self._tokenizer else _OF_THE_TOKENIZER
        return Chosen(installed=item, companions=companions, without=without)

    def _companions(self, item: Installed) -> tuple[Installed, ...]:
        """Return its vision encoder, if it has one; one that is not here is said."""
        from rkfetch.catalog.entries import VISION

        digests = item.record.companions
        found = [here for sha in digests if (here := self._store.find(sha)) is not None]
        told = {
            companion.role
            for artifact in self._catalog.by_sha256(item.record.sha256)
            for companion in self._catalog.companions(artifact)
        }
        if len(found) < len(digests) or (VISION in told and not found):
            self._leave_out([f"{item.path.name} goes without its vision encoder: it is not here"])
        return tuple(found)

    def _leave_out(self, sentences: list[str] | tuple[str, ...]) -> None:
        self.missing += sentences
        for sentence in () if self._question.as_json else sentences:
            say_wrapped(sentence, lead="warning: ")

    def _reading(self, title: str) -> Silent:
        return for_reading(title, json_lines=self._question.as_json, quiet=self._quiet)

    def _costs(self, progress: Silent) -> Costs:
        return spending.costs_of(self._metered, None if self._silent else progress)

    def _resolved(self, name: str) -> Installed:
        """Return the build that fits the target: here already, or fetched."""
        from rkfetch.catalog.get import get

        question = replace(self._question, model=name)
        try:
            answer = question.answer(self._catalog, self._http)
            answer.require()
        except _NO_ANSWER as error:
            # What was imported may be in no catalog; and which board it is for need not be said of
            # the only build that is here.
            may_be_here = not isinstance(error, UsageError) or question.target.runtime is None
            here = _installed_as(self._store, question) if may_be_here else None
            if here is None:
                raise
            return here
        if not self._silent and answer.choice is not None:
            say(f"{safe(answer.model or name)} for {target_words(answer.target)}:")
            for line in choice_lines(answer.choice):
                say(line)
        silent, quiet = self._question.as_json, self._quiet
        with closing(for_output(json_lines=silent, quiet=quiet)) as progress:
            got = get(
                self._catalog,
                answer,
                policy=question.policy,
                store=self._store,
                http=self._http,
                progress=progress,
                costs=self._costs(progress),
            )
        return got.installed


def _installed_as(store: Store, question: Question) -> Installed | None:
    """Return the one installed file of a model's name that is of the target's SoC, if any is."""
    try:
        found = select(store.installed(), question.model)
    except RkfetchError:
        return None
    platform = question.target.platform.value
    fitting = [item for item in found if attribute_of(item, "platform") in {None, platform}]
    return select_one(fitting, question.model) if fitting else None


def _write_tar(load: Load, output: str, progress: Silent) -> Written:
    from rkfetch.catalog.carried.making import Written
    from rkfetch.catalog.carried.tarring import write_tar, write_tar_file

    if output != "-":
        write_tar_file(load, Path(output).expanduser(), progress)
        return Written(copied_bytes=load.export.size_bytes)
    if sys.stdout is None:
        raise RkfetchError("the tar file cannot be written: stdout is closed")
    try:
        write_tar(load, sys.stdout.buffer.write, progress)
        sys.stdout.buffer.flush()
    except OSError as error:
        # What is still buffered would fail again when the interpreter ends.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        raise RkfetchError(
            f"the tar file cannot be written: {error.strerror}",
            hint="what reads it has ended: see what it said",
        ) from error
    return Written(copied_bytes=load.export.size_bytes)


def _say(load: Load, written: Written, where: str) -> None:
    models = load.export.models
    count = f"{len(models)} model{'s' * (len(models) != 1)}"
    how = []
    if written.linked:
        how.append("linked where that takes no room")
    if written.present:
        how.append(f"{written.present} files were there already")
    more = f" ({'; '.join(how)})" if how else ""
    place = "on stdout" if where == "stdout" else f"in {safe(where, limit=1000)}"
    say_wrapped(f"{count}, {human_bytes(load.size_bytes)}, {place}{more}")
    if load.key is None:
        say_wrapped("it is not signed: --key FILE, or the setting `signing_key`, would sign it")
    else:
        say(f"signed with {load.key}")
    if where != "stdout":
        say_wrapped(f"on the board: rkfetch import {Path(where).name}")


def _json(
    load: Load, written: Written, where: str, chosen: list[Chosen], missing: list[str]
) -> dict[str, Any]:
    named = {c.installed.record.sha256 for c in chosen}
    return {
        "where": where,
        "bytes": load.size_bytes,
        "copied_bytes": written.copied_bytes,
        "linked_files": written.linked,
        "present_files": written.present,
        "key": load.key,
        "models": [
            {
                "model": model.main.provenance.model,
                "sha256": model.main.sha256,
                "named": model.main.sha256 in named,
                "files": [
                    {
                        "role": file.role,
                        "path": file.path,
                        "bytes": file.size_bytes,
                        "sha256": file.sha256,
                    }
                    for file in model.files
                ],
            }
            for model in load.export.models
        ],
        "missing": missing,
    }
