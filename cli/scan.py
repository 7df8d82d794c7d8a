"""``rkfetch catalog scan``: models that lie in folders of this machine."""

from __future__ import annotations

from contextlib import closing
from typing import TYPE_CHECKING, Annotated, Any

import typer

from rkfetch.registry.model import LOCAL, Availability

from . import options  # noqa: TC001 - typer reads the annotations
from .answers import artifact_json, attributes_json
from .catalog_words import build_lines
from .output import emit, emit_json, safe, say
from .update import report_json

if TYPE_CHECKING:
    from pathlib import Path

    from rkfetch.registry.model import Artifact

FoldersArgument = Annotated[
    list[str],
    typer.Argument(metavar="FOLDER...", help="Folders; everything below each is looked at."),
]
HashOption = Annotated[
    bool,
    typer.Option(
        "--hash",
        help="Read every byte of the files, too, so that the catalog knows which uploads they are.",
    ),
]
ForgetOption = Annotated[
    bool, typer.Option("--forget", help="Do not know these folders any more, instead.")
]


def scan_command(
    folders: FoldersArgument,
    *,
    hashed: HashOption = False,
    forget: ForgetOption = False,
    as_json: options.JsonOption = False,
    quiet: options.QuietOption = False,
) -> None:
    """Look for models in folders of this machine, so that `rkfetch MODEL` takes one from there.

    A USB disk, a network share, the folder of rkllama: only the heads of the files are read, and
    only of files that are new or were written to. The folders are remembered, and
    `rkfetch catalog update` looks into them again. Taking a model links it into the store where
    that works, and verifies it. `rkfetch import` takes all of a folder at once.

    \b
    Examples:
      rkfetch catalog scan /media/usb/models
      rkfetch catalog scan ~/RKLLAMA/models --hash
      rkfetch catalog scan --forget /media/usb/models
    """
    from rkfetch.catalog.sources.folder import folder_named, forget_folders, scan
    from rkfetch.catalog.update import Observer

    from .catalog_progress import Talk

    if forget:
        forget_folders(folders)
        if as_json:
            emit_json({"status": "ok", "forgotten": folders})
        return
    silent = quiet or as_json
    named = list(dict.fromkeys(map(folder_named, folders)))

    def digest(path: Path) -> str:
        from rkfetch.registry.durable import hash_file

        from .progress import for_reading

        progress = for_reading(f"reading {safe(path.name)}", json_lines=as_json, quiet=quiet)
        with closing(progress):
            progress.started(path.stat().st_size, 0)
            return hash_file(path, advanced=progress.advanced).hexdigest()

    report = scan(
        named,
        observer=Observer() if silent else Talk(LOCAL),
        digest=digest if hashed else None,
    )
    found = _found(named)
    if as_json:
        emit_json({"status": "ok", **report_json(report), "files": [_file_json(a) for a in found]})
        return
    for line in build_lines(found):
        emit(line)
    if not quiet:
        builds = "1 model" if len(found) == 1 else f"{len(found)} models"
        say(f"{builds}; {report.probed} headers read, {report.gone} files gone since the last scan")


def _file_json(artifact: Artifact) -> dict[str, Any]:
    return {
        **artifact_json(artifact),
        "model": artifact.model,
        "attributes": attributes_json(artifact),
    }


def _found(folders: list[Path]) -> list[Artifact]:
    from rkfetch.catalog.database import Catalog

    with Catalog.open() as catalog:
        rows = [row for folder in folders for row in catalog.repository(LOCAL, str(folder))]
    return [row for row in rows if row.availability is Availability.LISTED]
