"""Know the files of Rockchip's model zoo, which only a person can fetch.

The zoo is a web share behind a fetch code, without an API (airockchip/rknn-llm README). Its known
files are rows of the data that rkfetch ships; each says where to click, and `rkfetch import` knows
the file again when it is here. An update puts the rows of this version of rkfetch in.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from . import Entry

if TYPE_CHECKING:
    from rkfetch.catalog.update import Report

    from . import Task

NAME = "modelzoo"
SHARE = "https://console.box.lenovo.com/l/l0tXb8"
FETCH_CODE = "rkllm"
_TOP = "rkllm_model_zoo"


def by_hand(folder: str, file: str) -> str:
    """Return the sentence that tells how to fetch a file of the zoo."""
    inside = folder.removeprefix(_TOP).strip("/").replace("/", " > ")
    where = f"open {_TOP} > {inside}" if inside else f"look for it in {_TOP}"
    return (
        f"it has to be fetched by hand: go to {SHARE} in a browser, give the fetch code "
        f"{FETCH_CODE}, {where}, download {file}, then `rkfetch import {file}`"
    )


def _update(task: Task) -> Report:
    from rkfetch.catalog.files import SNAPSHOT_DATE
    from rkfetch.catalog.snapshot import rows
    from rkfetch.catalog.update import Report
    from rkfetch.catalog.writer import Writer

    ours = [row.artifact for row in rows() if row.artifact.source == NAME]
    with Writer.open(task.path) as writer, writer.transaction():
        for artifact in ours:
            writer.record_artifact(artifact, seen=SNAPSHOT_DATE)
        writer.set_meta(f"updated:{NAME}", SNAPSHOT_DATE)
    folders = {artifact.repo for artifact in ours}
    return Report(source=NAME, listed=len(folders), changed=len(folders), builds=len(ours))


ENTRY = Entry(
    name=NAME,
    summary="Rockchip's model zoo: known files that a person can fetch, as shipped",
    update=_update,
    is_online=False,
)
