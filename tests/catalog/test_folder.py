"""Models in folders of this machine: offered while they are there, and never hashed unasked."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from rkfetch.catalog.database import Catalog
from rkfetch.catalog.observations import VERIFIED
from rkfetch.catalog.sources import folder as source
from rkfetch.catalog.sources.folder import scan
from rkfetch.catalog.update import Observer
from rkfetch.registry.model import LOCAL, Availability, Origin
from rkllm_files import rkllm_bytes

if TYPE_CHECKING:
    from conftest import Rkfetch
    from rkfetch.catalog.update import Report
    from rkfetch.registry.model import Artifact

NAME = "Qwen2.5-1.5B-Instruct/model_w4a16_rk3576.rkllm"
QUESTION = ("qwen2.5-1.5b", "--platform", "rk3576", "--runtime", "1.2.3", "--offline")


@pytest.fixture
def usb(tmp_path: Path) -> Path:
    folder = tmp_path / "usb"
    put(folder, NAME)
    return folder


def put(folder: Path, name: str, **build: Any) -> Path:
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(rkllm_bytes(**build))
    return path


def look(*folders: Path, **options: Any) -> Report:
    return scan(folders, observer=Observer(), **options)


def rows() -> dict[str, Artifact]:
    with Catalog.open() as catalog:
        return {a.path: a for a in catalog.everything() if a.source == LOCAL}


def models() -> list[str]:
    with Catalog.open() as catalog:
        return catalog.models()


def test_a_file_is_known_by_its_header_and_by_its_own_and_its_folders_name(usb: Path) -> None:
    report = look(usb)
    assert (report.builds, report.probed, report.changed, report.skipped) == (1, 1, 1, [])
    row = rows()[NAME]
    assert (row.repo, row.sha256, row.availability) == (str(usb), None, Availability.LISTED)
    assert row.size_bytes == (usb / NAME).stat().st_size
    assert (row.model, str(row.toolkits[0])) == ("Qwen2.5-1.5B-Instruct", "1.2.3")
    assert row.attribute("platform").origin is Origin.HEADER


def test_what_nobody_wrote_to_is_not_read_again(usb: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    put(usb, "Qwen3-0.6B/b.rkllm", seed=2)
    look(usb)
    before = rows()
    report = look(usb)
    assert (report.probed, report.unchanged, report.gone) == (0, 1, 0)
    assert {n: r.attributes for n, r in rows().items()} == {
        n: r.attributes for n, r in before.items()
    }
    put(usb, "Qwen3-0.6B/b.rkllm", seed=3, toolkit="1.3.0")
    put(usb, "Qwen3-1.7B/c.rkllm", seed=4)
    report = look(usb)
    assert (report.probed, report.changed, report.builds) == (2, 1, 3)
    assert str(rows()["Qwen3-0.6B/b.rkllm"].toolkits[0]) == "1.3.0"


def test_a_file_that_is_touched_is_looked_at_again(usb: Path) -> None:
    look(usb)
    os.utime(usb / NAME, ns=(1, 1))
    assert look(usb).probed == 1


def test_what_is_gone_is_gone_and_may_come_back(usb: Path) -> None:
    put(usb, "Qwen3-0.6B/b.rkllm", seed=2)
    look(usb)
    (usb / NAME).rename(usb.parent / "kept")
    report = look(usb)
    assert (report.gone, report.builds) == (1, 1)
    assert rows()[NAME].availability is Availability.GONE
    (usb.parent / "kept").rename(usb / NAME)
    report = look(usb)
    assert (report.gone, report.probed) == (0, 0)
    assert rows()[NAME].availability is Availability.LISTED


def test_a_disk_that_is_not_plugged_in_has_lost_its_files_for_now(
    usb: Path, rkfetch: Rkfetch
) -> None:
    look(usb)
    usb.rename(usb.parent / "unplugged")
    code, _, err = rkfetch("catalog", "update", "folder")
    assert code == 0
    assert f"left out: {usb}: it is not there now" in err
    assert rows()[NAME].availability is Availability.GONE
    (usb.parent / "unplugged").rename(usb)
    assert rkfetch("catalog", "update", "folder", "--offline")[0] == 0
    assert rows()[NAME].availability is Availability.LISTED


def test_broken_and_foreign_files_are_left_out_with_a_word(usb: Path) -> None:
    torn = usb / "torn.rkllm"
    torn.write_bytes(rkllm_bytes(seed=9)[:5000])
    (usb / "page.rkllm").write_bytes(b"<!DOCTYPE html><html></html>")
    (usb / "evil\x1b[2J.rkllm").write_bytes(rkllm_bytes(seed=8))
    report = look(usb)
    assert list(rows()) == [NAME]
    why = {Path(what).name: why for what, why in report.skipped}
    assert "cut off" in why["torn.rkllm"]
    assert "no .rkllm model" in why["page.rkllm"]
    assert why["evil\x1b[2J.rkllm"] == "its name has control characters"


def test_a_part_that_cannot_be_listed_is_not_gone(
    usb: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    look(usb)
    listing = os.scandir

    def refuse(path: Any) -> Any:
        if Path(path).name == "Qwen2.5-1.5B-Instruct":
            raise PermissionError(13, "Permission denied", str(path))
        return listing(path)

    monkeypatch.setattr(os, "scandir", refuse)
    report = look(usb)
    assert (report.gone, len(report.skipped)) == (0, 1)
    assert rows()[NAME].availability is Availability.LISTED


def test_nothing_is_hashed_unless_that_is_asked_for(usb: Path) -> None:
    look(usb)
    assert rows()[NAME].sha256 is None
    asked: list[Path] = []

    def digest(path: Path) -> str:
        asked.append(path)
        return hashlib.sha256(path.read_bytes()).hexdigest()

    look(usb, digest=digest)
    row = rows()[NAME]
    assert row.sha256 == hashlib.sha256((usb / NAME).read_bytes()).hexdigest()
    places = {e.place for e in row.attribute("platform").evidence if e.origin is Origin.HEADER}
    assert places == {VERIFIED}
    look(usb, digest=digest)
    assert asked == [usb / NAME]
    # Other content under the name has nothing to do with that digest.
    put(usb, NAME, seed=7)
    look(usb)
    assert rows()[NAME].sha256 is None


def test_a_file_that_is_written_to_while_it_is_hashed_is_left_for_the_next_scan(
    usb: Path,
) -> None:
    def digest(path: Path) -> str:
        with path.open("ab") as file:
            file.write(b"more")
        return "a" * 64

    report = look(usb, digest=digest)
    assert report.skipped == [(str(usb / NAME), "it is being written to")]
    assert rows() == {}


def test_a_pipe_in_place_of_a_modelfile_is_not_waited_for(usb: Path) -> None:
    os.mkfifo((usb / NAME).parent / "Modelfile")
    assert look(usb).builds == 1


def test_the_model_that_rkllama_notes_beside_a_file_is_believed(tmp_path: Path) -> None:
    put(tmp_path / "RKLLAMA", "models/mine/x.rkllm")
    modelfile = 'FROM="x.rkllm"\nHUGGINGFACE_PATH="google/gemma-3-4b-it"\nTEMPERATURE=0.7\n'
    (tmp_path / "RKLLAMA/models/mine/Modelfile").write_text(modelfile)
    look(tmp_path / "RKLLAMA")
    row = rows()["models/mine/x.rkllm"]
    assert row.model == "gemma-3-4b-it"
    assert {e.place for e in row.attribute("model").evidence} == {"Modelfile#base_model"}


def test_the_encoder_beside_a_vision_model_belongs_to_it(tmp_path: Path) -> None:
    put(tmp_path / "d", "Qwen2-VL-2B/qwen2-vl-2b_w4a16_rk3576.rkllm")
    (tmp_path / "d/Qwen2-VL-2B/qwen2-vl-2b_vision_rk3576.rknn").write_bytes(b"RKNN" + bytes(5000))
    look(tmp_path / "d")
    (row,) = rows().values()
    with Catalog.open() as catalog:
        (companion,) = catalog.companions(row)
    assert companion.path == "Qwen2-VL-2B/qwen2-vl-2b_vision_rk3576.rknn"


def test_a_model_is_taken_from_there_without_network_or_room(usb: Path, rkfetch: Rkfetch) -> None:
    code, out, err = rkfetch("catalog", "scan", str(usb))
    assert code == 0
    assert NAME in out
    assert "1 model; 1 headers read, 0 files gone since the last scan" in err
    code, out, err = rkfetch("resolve", *QUESTION)
    assert (code, out) == (0, f"folder:{usb}/{NAME}\n")
    code, out, err = rkfetch(*QUESTION)
    assert code == 0
    assert "taken from the folder where it lies, and verified" in err
    taken = Path(out.strip())
    assert taken.stat().st_ino == (usb / NAME).stat().st_ino
    value = json.loads(rkfetch(*QUESTION, "--json")[1])
    assert (value["action"], value["path"]) == ("present", str(taken))
    assert rows()[NAME].sha256 == value["artifact"]["sha256"]
    # What a scan knew of the file holds on.
    assert look(usb).probed == 0
    assert json.loads(rkfetch(*QUESTION, "--json")[1])["action"] == "present"


def test_it_can_be_named_exactly(usb: Path, rkfetch: Rkfetch) -> None:
    look(usb)
    reference = f"folder:{usb}/{NAME}"
    code, out, _ = rkfetch("fetch", reference, *QUESTION[1:], "--json")
    assert (code, json.loads(out)["action"]) == (0, "imported")
    code, out, _ = rkfetch("show", reference)
    assert (code, out.splitlines()[0]) == (0, reference)
    assert rkfetch("show", "folder:/nowhere/x.rkllm")[0] == 4
    code, _, err = rkfetch("fetch", "folder:/nowhere/x.rkllm", *QUESTION[1:])
    assert (code, "`rkfetch catalog scan /nowhere`" in err) == (4, True)
    assert rkfetch("show", "folder:x.rkllm")[0] == 2


@pytest.mark.parametrize("change", ["removed", "written to", "moved to another machine"])
def test_what_is_not_there_as_it_was_scanned_is_not_offered(
    usb: Path, rkfetch: Rkfetch, change: str
) -> None:
    look(usb)
    if change == "removed":
        shutil.rmtree(usb)
    else:
        put(usb, NAME, seed=4 if change == "written to" else 0)
        os.utime(usb / NAME, ns=(5, 5))
    value = json.loads(rkfetch("resolve", *QUESTION, "--json")[1])
    assert value["artifact"]["source"] != LOCAL
    (rejected,) = (r for r in value["rejected"] if r["source"] == LOCAL)
    assert (rejected["reason"], rejected["text"]) == ("gone", source._NOT_AS_IT_WAS)


def test_a_disk_whose_files_got_new_inodes_serves_all_the_same(usb: Path, rkfetch: Rkfetch) -> None:
    look(usb)
    was = (usb / NAME).stat()
    shutil.copyfile(usb / NAME, usb / "copy")
    (usb / "copy").rename(usb / NAME)
    os.utime(usb / NAME, ns=(was.st_atime_ns, was.st_mtime_ns))
    assert (usb / NAME).stat().st_ino != was.st_ino
    value = json.loads(rkfetch("resolve", *QUESTION, "--json")[1])
    assert (value["artifact"]["source"], value["action"]) == (LOCAL, "use")
    assert look(usb).probed == 1


def test_a_file_that_changes_while_it_is_asked_for_is_refused(
    usb: Path, rkfetch: Rkfetch, monkeypatch: pytest.MonkeyPatch
) -> None:
    look(usb)
    monkeypatch.setattr("rkfetch.catalog.sources.folder.at_hand", lambda artifact: artifact)
    put(usb, NAME, platform="rk3588", npu_cores=3)
    code, out, err = rkfetch(*QUESTION)
    assert (code, out) == (7, "")
    said = "its label says platform rk3576 (from: header), its header says rk3588"
    assert said in " ".join(err.split())
    assert not list(Path(os.environ["RKFETCH_HOME"]).glob("models/*/*.rkllm"))


def test_the_store_itself_is_left_out(usb: Path, rkfetch: Rkfetch) -> None:
    look(usb)
    rkfetch(*QUESTION)
    home = Path(os.environ["RKFETCH_HOME"])
    assert look(home).builds == 0


def test_a_folder_is_forgotten_on_request(usb: Path, rkfetch: Rkfetch) -> None:
    put(usb, "Mine-7B_w4a16.rkllm", seed=5)
    look(usb)
    assert "Mine-7B" in models()
    code, out, err = rkfetch("catalog", "scan", "--forget", str(usb))
    assert (code, out, err) == (0, "", "")
    assert rows() == {}
    assert (usb / NAME).exists()
    code, _, err = rkfetch("catalog", "scan", "--forget", str(usb))
    assert code == 2
    assert "was not scanned" in " ".join(err.split())
    _, out, _ = rkfetch("search", "w4a16", "rk3576", "--all")
    assert "usb" not in out
    assert "Mine-7B" not in models()


def test_a_folder_that_is_not_there_is_wrong_usage(rkfetch: Rkfetch) -> None:
    code, _, err = rkfetch("catalog", "scan", "/nowhere/at/all")
    assert code == 2
    assert err.startswith("error: there is no folder '/nowhere/at/all'\n")


def test_a_scan_as_json(usb: Path, rkfetch: Rkfetch) -> None:
    value = json.loads(rkfetch("catalog", "scan", str(usb), "--hash", "--json")[1])
    assert (value["status"], value["builds"], value["probed"]) == ("ok", 1, 1)
    (file,) = value["files"]
    assert (file["source"], file["repo"], file["path"]) == (LOCAL, str(usb), NAME)
    assert file["sha256"] == hashlib.sha256((usb / NAME).read_bytes()).hexdigest()


def test_a_scan_is_no_news_of_uploads(usb: Path) -> None:
    with Catalog.open() as catalog:
        before = catalog.as_of()
    look(usb)
    with Catalog.open() as catalog:
        assert catalog.as_of() == before
