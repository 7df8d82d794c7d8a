"""``--for``: give a model to a server that people run, or say what to type for Rockchip's demo."""

from __future__ import annotations

import os
import shlex
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from rkfetch.registry.errors import UsageError
from rkfetch.registry.serving.served import Served, Server, is_name

from .output import safe, say_wrapped

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from rkfetch.catalog.answer import Answer
    from rkfetch.registry.model import Target
    from rkfetch.registry.serving.placing import Placed
    from rkfetch.registry.serving.served import Layout
    from rkfetch.registry.store import Installed

    from .question import Question

ForOption = Annotated[
    str | None,
    typer.Option(
        "--for",
        metavar="rkllama|orkllm|plain",
        help="Give it to a server too, in its folder of models and with the small files that it "
        "needs; --force replaces what stands in its way there. plain: print the command line of "
        "Rockchip's demo instead of the path.",
    ),
]
ModelsOption = Annotated[
    str | None,
    typer.Option(
        "--models", metavar="DIR", help="With --for: the server's folder of models, else found."
    ),
]
NameOption = Annotated[
    str | None,
    typer.Option(
        "--name",
        metavar="NAME",
        help="With --for: what the server shall call it, else the model's.",
    ),
]


@dataclass(frozen=True, slots=True, kw_only=True)
class Delivered:
    """What came of it."""

    answer: str
    """For stdout."""
    path: Path
    values: dict[str, Any]
    remarks: tuple[tuple[str, str], ...] = ()
    """For the person: what leads a paragraph, and the paragraph."""

    def tell(self) -> None:
        """Say on stderr what a person should know, and what to type next."""
        for lead, text in self.remarks:
            say_wrapped(text, lead=lead)

    def as_json(self) -> dict[str, Any]:
        """Return what the answer has of it."""
        return {"path": str(self.path), "serving": self.values}


@dataclass(frozen=True, slots=True, kw_only=True)
class Serving:
    """What a user wishes of a server, and its folder."""

    server: Server
    models: Path | None
    """None for plain."""
    name: str | None
    question: Question

    def require_room(self, answer: Answer) -> None:
        """Check before the download that nothing will stand in the way.

        Raises:
            UsageError: something does.
        """
        from rkfetch.registry.record import safe_file_name
        from rkfetch.registry.serving.placing import require_room

        choice = answer.choice
        if self.models is None or choice is None:
            return
        artifact = choice.artifact
        encoders = (c.path for c in answer.companions if c.path.lower().endswith(".rknn"))
        served = Served(
            file_name=safe_file_name(artifact.path),
            model=answer.model or artifact.model,
            source=artifact.source,
            repo=artifact.repo,
            platform=artifact.platform.value if artifact.platform else None,
            toolkit=artifact.attribute("toolkit").value,
            limit=artifact.context,
            encoder=next((safe_file_name(path) for path in encoders), None),
        )
        require_room(
            self._layout(served),
            self.models,
            size_bytes=artifact.size_bytes,
            force=self.question.force,
        )

    def require_folder(self) -> None:
        """Check that files can be placed in the server's folder, before anything long begins.

        Raises:
            UsageError: it cannot be made or written.
        """
        from rkfetch.registry.place import destination_of

        if self.models is not None:
            destination_of("model.rkllm", self.models / "model.rkllm")

    def deliver(
        self, item: Installed, companions: Sequence[Installed], path: Path, target: Target
    ) -> Delivered:
        """Give a stored model to the server; ``path`` is where else the user has it.

        Raises:
            UsageError, DiskSpaceError, IntegrityError: see `registry.serving.placing.put`.
        """
        served = Served.of(item, companions, asked_context=target.context, runtime=target.runtime)
        encoder = next((c for c in companions if c.path.name == served.encoder), None)
        if self.models is None:
            return self._command(served, path, encoder)
        from rkfetch.registry.serving.placing import put

        layout = self._layout(served)
        placed = put(layout, self.models, item, encoder, force=self.question.force)
        values = {
            "for": self.server.value,
            "models": str(self.models),
            "name": layout.name,
            "model": str(placed.model),
            "encoder": str(placed.encoder) if placed.encoder else None,
            "modelfile": str(placed.modelfile) if placed.modelfile else None,
            "kept": list(placed.kept),
            "removed": list(placed.removed),
            "notes": list(layout.notes),
            "next": layout.next_step,
        }
        return Delivered(
            answer=str(placed.model),
            path=placed.model,
            values=values,
            remarks=tuple(_remarks(layout, placed)),
        )

    def _layout(self, served: Served) -> Layout:
        from rkfetch.registry.serving import orkllm, rkllama

        layout = rkllama.layout if self.server is Server.RKLLAMA else orkllm.layout
        return layout(served, self.name)

    def _command(self, served: Served, path: Path, encoder: Installed | None) -> Delivered:
        from rkfetch.registry.serving import demo

        words = demo.command(served, str(path), str(encoder.path) if encoder else None)
        notes = demo.notes(served)
        line = shlex.join(words)
        values = {"for": "plain", "command": words, "command_line": line, "notes": notes}
        remarks = tuple(("note: ", note) for note in notes)
        return Delivered(answer=line, path=path, values=values, remarks=remarks)


def serving_of(
    server: str | None,
    models: str | None,
    name: str | None,
    *,
    question: Question,
    output: str | None,
    quiet: bool,
) -> Serving | None:
    """Read the options, and find the server's folder; None without ``--for``.

    Raises:
        UsageError: they cannot be read, contradict each other, or there is no such folder.
    """
    if server is None:
        if models is not None or name is not None:
            option = "--models" if models is not None else "--name"
            raise UsageError(f"{option} says nothing without --for", hint="--for rkllama or orkllm")
        return None
    wanted = _server(server)
    for option, value in (("--models", models), ("--name", name)):
        if wanted is Server.PLAIN and value is not None:
            raise UsageError(f"{option} is for a server, and --for plain has none")
    if wanted is not Server.PLAIN and output is not None:
        raise UsageError(
            f"-o and --for {wanted.value} both say where the file goes",
            hint="leave one of them out",
        )
    if name is not None and not is_name(name):
        raise UsageError(
            f"'{name}' cannot be a model's name there",
            cause=["it may have letters, digits and . _ : + - and begins with a letter or digit"],
        )
    folder = None
    if wanted is not Server.PLAIN:
        folder = _folder(wanted, models, question.sysroot, quiet=quiet)
    return Serving(server=wanted, models=folder, name=name, question=question)


def _server(text: str) -> Server:
    try:
        return Server(text.strip().lower())
    except ValueError:
        known = ", ".join(server.value for server in Server)
        raise UsageError(
            f"--for {safe(text)}: no such server", cause=[f"known are {known}"]
        ) from None


def _folder(server: Server, models: str | None, sysroot: str, *, quiet: bool) -> Path:
    """Return the server's folder, and say how it was found."""
    if models is not None:
        return Path(models).expanduser().absolute()
    from rkfetch.registry.serving.places import find
    from rkfetch.registry.sysroot import Sysroot

    tree = Sysroot(root=Path(sysroot))
    found = find(server, tree, os.environ)
    if not found:
        raise UsageError(
            f"no folder of models of {server.value} was found on this machine",
            cause=["no running server or setting names one, and none is where it usually is"],
            hint=f"name it: --for {server.value} --models DIR",
        )
    chosen, *others = found
    if not quiet:
        say_wrapped(f"{server.value}'s models are in {chosen.path} ({chosen.why})")
        if others:
            also = ", ".join(other.path for other in others)
            say_wrapped(f"found too: {also}; --models DIR chooses", lead="note: ")
    return Path(f"{sysroot.rstrip('/')}{tree.resolve(chosen.path) or chosen.path}")


def _remarks(layout: Layout, placed: Placed) -> Iterator[tuple[str, str]]:
    for name in placed.removed:
        yield "", f"removed the other build there: {name}"
    if placed.kept:
        kept = f"{placed.modelfile} was there already and is left as it is; --force sets in it:"
        yield "note: ", kept
        for difference in placed.kept:
            yield "  ", difference
    for note in layout.notes:
        yield "note: ", note
    yield "next: ", layout.next_step
