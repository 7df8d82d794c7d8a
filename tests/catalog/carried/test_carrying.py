"""Export and import between two stores in one process: what comes, and what is refused."""

from __future__ import annotations

import errno
import io
import os
import tarfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from carrying import ENCODER, MODEL, NAME, SMALL, Machine, sha256
from rkfetch.catalog.carried import ground, making
from rkfetch.catalog.carried.places import StreamPlace, folders_at, opened
from rkfetch.catalog.carried.taking import take_in
from rkfetch.catalog.database import Catalog
from rkfetch.registry.beside import beside
from rkfetch.registry.cleanup import clean, gc_plan
from rkfetch.registry.disk_failures import kind_of
from rkfetch.registry.errors import DiskSpaceError, IntegrityError, UsageError
from rkfetch.registry.model import Platform, Target
from rkfetch.registry.versions import parse_version
from rkllm_files import rkllm_bytes
from rknn_files import rknn_bytes
from stored import add

if TYPE_CHECKING:
    from collections.abc import Callable

    from rkfetch.catalog.carried.gathering import Load

LIST = "rkfetch-export.json"


def test_a_pair_comes_whole_and_is_known(pc: Machine, board: Machine, tmp_path: Path) -> None:
    pc.export(tmp_path / "models", pc.add_pair())
    (taken,) = board.take(tmp_path / "models").models
    assert taken.installed.path.read_bytes() == MODEL
    assert taken.installed.record.model == NAME
    assert taken.installed.record.licence == "apache-2.0"
    (encoder,) = board.store.companions(taken.installed)
    assert encoder.path.read_bytes() == ENCODER
    assert {f.path.name: f.path.read_bytes() for f in beside(taken.installed)} == SMALL
    (artifact,) = board.known()
    assert (artifact.repo, artifact.value("toolkit")) == ("alice/models", "1.2.3")
    assert board.leftovers() == []
    # Once more changes nothing.
    again = board.take(tmp_path / "models")
    assert [m.action for m in again.models] == ["present"]
    assert again.learned is not None
    assert not again.learned.is_new


def test_a_tar_in_any_order_and_under_any_folder(
    pc: Machine, board: Machine, tmp_path: Path
) -> None:
    ours = pc.export_tar(tmp_path / "ours.tar", pc.add_pair())
    with tarfile.open(ours) as file:
        members = {m.name: file.extractfile(m).read() for m in file.getmembers()}  # type: ignore[union-attr]
    theirs = tmp_path / "theirs.tar"
    with tarfile.open(theirs, "w") as file:
        for name, content in [*reversed(members.items()), ("../../evil.rkllm", MODEL)]:
            info = tarfile.TarInfo(name.replace("rkfetch-export/", "./stick/my models/"))
            info.size = len(content)
            file.addfile(info, io.BytesIO(content))
    (taken,) = board.take(theirs).models
    assert taken.installed.path.read_bytes() == MODEL
    assert not list(tmp_path.glob("**/evil.rkllm"))
    # Through a pipe the list has to come first.
    place = StreamPlace(io.BytesIO(theirs.read_bytes()), "the pipe")
    with pytest.raises(IntegrityError) as error:
        place.lists()
    assert "does not begin with one" in error.value.cause[0]


def test_a_pipe_passes_over_what_is_here(pc: Machine, board: Machine, tmp_path: Path) -> None:
    tar = pc.export_tar(tmp_path / "x.tar", pc.add_pair(), pc.add(rkllm_bytes(seed=8), "b.rkllm"))
    add(board.store, MODEL)
    stream = io.BytesIO(tar.read_bytes())
    with Catalog.open(board.db) as catalog:
        place = StreamPlace(stream, "the pipe")
        taken = take_in(place, store=board.store, catalog=catalog, target=None)
    assert sorted(m.action for m in taken.models) == ["copied", "present"]
    assert board.installed(ENCODER) is not None
    assert stream.read() == b""


@pytest.mark.parametrize("pipe", [False, True])
def test_a_tar_that_is_cut_short_leaves_nothing_half(
    pc: Machine, board: Machine, tmp_path: Path, *, pipe: bool
) -> None:
    tar = pc.export_tar(tmp_path / "x.tar", pc.add_pair())
    whole = tar.read_bytes()
    for length in (0, 700, 150_000, len(whole) - 1500):
        tar.write_bytes(whole[:length])
        with pytest.raises(IntegrityError):
            board.take_pipe(whole[:length]) if pipe else board.take(tar)
        assert board.leftovers() == []
    tar.write_bytes(whole)
    assert board.take(tar).models[0].installed.path.read_bytes() == MODEL


def a_flipped_byte(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.unlink()
    path.write_bytes(content)


def a_short_one(path: Path) -> None:
    content = path.read_bytes()
    path.unlink()
    path.write_bytes(content[:-1])


def a_link(path: Path) -> None:
    elsewhere = path.parent.parent.parent / path.name
    path.rename(elsewhere)
    path.symlink_to(elsewhere)


def a_linked_folder(path: Path) -> None:
    elsewhere = path.parent.parent.parent / "elsewhere"
    path.parent.rename(elsewhere)
    path.parent.symlink_to(elsewhere)


@pytest.mark.parametrize("name", ["*.rkllm", "*.rknn", "tokenizer.json", "*.jsonl.gz"])
@pytest.mark.parametrize("harm", [a_flipped_byte, a_short_one, Path.unlink, a_link])
def test_harm_to_any_file_is_told(
    pc: Machine, board: Machine, tmp_path: Path, name: str, harm: Callable[[Path], None]
) -> None:
    folder = tmp_path / "stick" / "models"
    chosen = pc.add_pair()
    pc.export(folder, chosen)
    (path,) = folder.rglob(name)
    harm(path)
    with pytest.raises(IntegrityError) as error:
        board.take(folder)
    assert path.name in error.value.message
    assert board.leftovers() == []
    # The store of the maker is another file by now, or would be noticed.
    assert pc.installed() is not None
    pc.export(folder, chosen)
    assert board.take(folder).models[0].installed.path.read_bytes() == MODEL


def test_a_folder_that_is_a_link_is_none(pc: Machine, board: Machine, tmp_path: Path) -> None:
    folder = tmp_path / "stick" / "models"
    pc.export(folder, pc.add_pair())
    (path,) = folder.rglob("*.rkllm")
    a_linked_folder(path)
    with pytest.raises(IntegrityError, match="missing"):
        board.take(folder)


def test_a_disk_that_cannot_be_read_is_said_so(
    pc: Machine, board: Machine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pc.export(tmp_path / "models", pc.add_pair())
    real = Path.open

    def failing(path: Path, *args: Any, **how: Any) -> Any:
        if path.name == "tokenizer.json" and tmp_path / "models" in path.parents:
            raise OSError(errno.EACCES, os.strerror(errno.EACCES))
        return real(path, *args, **how)

    monkeypatch.setattr(Path, "open", failing)
    with pytest.raises(UsageError, match="cannot be read"):
        board.take(tmp_path / "models")


def test_labels_that_lie_are_found_out(pc: Machine, board: Machine, tmp_path: Path) -> None:
    said = {"platform": {"value": "rk3588", "origin": "header"}}
    pc.export(tmp_path / "models", pc.add(attributes=said))
    with pytest.raises(IntegrityError, match="the list says platform rk3588, its header says rk35"):
        board.take(tmp_path / "models")
    assert board.installed() is None


@pytest.mark.parametrize("tar", [False, True])
def test_an_encoder_for_another_chip_is_refused(
    pc: Machine, board: Machine, tmp_path: Path, *, tar: bool
) -> None:
    from rkfetch.catalog.carried.gathering import Chosen

    other = add(pc.store, rknn_bytes("rk3588", seed=9), path="vision.rknn")
    chosen = Chosen(installed=pc.add().installed, companions=(other,))
    place = tmp_path / ("models.tar" if tar else "models")
    if tar:
        pc.export_tar(place, chosen)
    else:
        pc.export(place, chosen)
    with pytest.raises(IntegrityError, match="built for rk3588, not for rk3576"):
        board.take(place)
    assert board.installed() is None
    assert board.leftovers() == []


def test_html_under_a_models_name(pc: Machine, board: Machine, tmp_path: Path) -> None:
    page = b"<html><title>Login</title></html>" * 10
    pc.export(tmp_path / "models", pc.add(page, "x.rkllm"))
    with pytest.raises(IntegrityError):
        board.take(tmp_path / "models")
    tar = pc.export_tar(tmp_path / "x.tar", pc.add(page, "x.rkllm"))
    with pytest.raises(IntegrityError):
        board.take(tar)
    assert board.leftovers() == []


def test_what_the_catalog_is_told_is_of_what_came_alone(
    pc: Machine, board: Machine, tmp_path: Path
) -> None:
    """A stranger's export cannot speak of other files than its own."""
    chosen = pc.add()
    other = rkllm_bytes(seed=99)
    load = pc.load(chosen)
    mine = next(line for line in _lines(load).values())
    forged = mine.replace(sha256(MODEL).encode(), sha256(other).encode())
    from rkfetch.catalog.carried import knowledge

    files = knowledge.write({b"1": mine, b"2": forged}, [chosen.installed.record], signer=None)
    taken = knowledge.take(board.db, files, {sha256(MODEL)}, key=None)
    assert taken is not None
    assert taken.rows == 1
    assert board.known(other) == []
    assert len(board.known()) == 1


def _lines(load: Load) -> dict[bytes, bytes]:
    from rkfetch.catalog.carried.knowledge import read_lines

    files = {p: c for p, c in load.sources.items() if isinstance(c, bytes)}
    return read_lines(files)[1]


def test_a_board_whose_listing_is_newer_or_older_knows_it_all_the_same(
    pc: Machine, board: Machine, tmp_path: Path
) -> None:
    from rkfetch.catalog.entries import Repository
    from rkfetch.catalog.writer import Writer
    from rkfetch.registry.model import Availability

    other = board.add(rkllm_bytes(seed=3)).installed  # at the same place, other content
    with Writer.open(board.db) as writer:
        repository = Repository(source="huggingface", repo="alice/models", sha="a" * 40)
        writer.record_repository(repository, seen="2026-11-30T00:00:00Z")
    pc.export(tmp_path / "models", pc.add())
    board.take(tmp_path / "models")
    (mine,) = board.known()
    assert mine.availability is Availability.LISTED
    (theirs,) = board.known(other.path.read_bytes())
    assert theirs.availability is Availability.LISTED


def test_what_does_not_fit_the_board(pc: Machine, board: Machine, tmp_path: Path) -> None:
    pc.export(tmp_path / "models", pc.add_pair())
    for platform, runtime in ((Platform.RK3588, "1.2.3"), (Platform.RK3576, "1.1.4")):
        target = Target(platform=platform, runtime=parse_version(runtime, what="runtime"))
        taken = board.take(tmp_path / "models", target=target)
        ((carried, why),) = taken.skipped
        assert (taken.models, carried.model) == ([], NAME)
        assert why
    assert not board.store.models.exists()
    assert board.known() == []
    forced = board.take(tmp_path / "models", target=target, force=True)
    assert forced.models[0].unfit == why


# --- making -------------------------------------------------------------------------------------


def test_a_folder_is_there_whole_or_not_at_all(
    pc: Machine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    chosen, folder = pc.add_pair(), tmp_path / "models"

    def broken(*_: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with monkeypatch.context() as patch:
        patch.setattr(making._Writing, "_finish", broken)
        with pytest.raises(DiskSpaceError) as error:
            pc.export(folder, chosen)
    assert "-o" in str(error.value.hint)
    assert not folder.exists()
    pc.export(folder, chosen)
    assert [p.name for p in tmp_path.iterdir() if "models" in p.name] == ["models"]
    assert folders_at(tmp_path) == [folder]


def test_an_unfinished_one_in_a_mounted_folder_is_said(
    pc: Machine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    chosen, folder = pc.add(), tmp_path / "mounted"
    (folder / "lost+found").mkdir(parents=True)
    with monkeypatch.context() as patch:
        patch.setattr(making._Writing, "_finish", lambda _: os.abort)
        pc.export(folder, chosen)
    with pytest.raises(IntegrityError, match="was not finished"):
        folders_at(folder)
    pc.export(folder, chosen)
    assert folders_at(folder) == [folder]


def test_fat32_is_known_before_anything_is_written(
    pc: Machine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ground, "largest_file", lambda _: 100_000)
    for place in (tmp_path / "models", tmp_path / "models.tar"):
        with pytest.raises(DiskSpaceError, match="does not hold files of that size") as error:
            (pc.export_tar if place.suffix else pc.export)(place, pc.add())
        assert "exFAT or ext4" in str(error.value.hint)
    assert not list(tmp_path.rglob(f"*models*/{LIST}")) + list(tmp_path.glob("*.tar*"))


def test_the_kind_of_a_file_system_is_read() -> None:
    mounts = "22 1 8:1 / / rw - ext4 /dev/a rw\n40 22 8:17 / /m rw shared:1 - vfat /dev/b rw\n"
    assert kind_of(mounts, os.makedev(8, 17)) == "vfat"
    assert kind_of(mounts, os.makedev(8, 1)) == "ext4"
    assert kind_of(mounts, os.makedev(9, 9)) is None


def test_a_model_that_rots_while_it_is_exported(pc: Machine, tmp_path: Path) -> None:
    chosen = pc.add()
    a_flipped_byte(chosen.installed.path)
    with pytest.raises(IntegrityError, match="damaged"):
        pc.export_tar(tmp_path / "x.tar", chosen)
    assert not list(tmp_path.glob("x.tar*"))


def test_an_encoder_that_two_builds_share_is_there_once(pc: Machine, tmp_path: Path) -> None:
    from rkfetch.catalog.carried.gathering import Chosen

    first = pc.add_pair()
    second = pc.add(rkllm_bytes(seed=8), "RK3576/other.rkllm").installed
    load = pc.export(tmp_path / "m", first, Chosen(installed=second, companions=first.companions))
    assert len(list((tmp_path / "m").rglob("*.rknn"))) == 1
    assert len(load.export.models) == 2
    board = Machine(tmp_path / "b")
    assert len(board.take(pc.export_tar(tmp_path / "m.tar", first)).models) == 1
    assert len(board.take(tmp_path / "m").models) == 2


def test_names_are_fit_for_every_file_system(pc: Machine, tmp_path: Path) -> None:
    chosen = pc.add(path="RK3576/a: <b>|\u202e?*.rkllm", model="x/..\\con:\n")
    pc.export(tmp_path / "models", chosen)
    for path in (tmp_path / "models").rglob("*"):
        assert not set('<>:"\\|?*\n\u202e') & set(path.name)


def test_other_files_at_the_place(pc: Machine, tmp_path: Path) -> None:
    (tmp_path / "photos").mkdir()
    (tmp_path / "photos" / "cat.jpg").touch()
    with pytest.raises(UsageError, match="something else"):
        pc.export(tmp_path / "photos", pc.add())
    (tmp_path / "mine.tar").write_bytes(b"mine")
    with pytest.raises(UsageError, match="no export"):
        pc.export_tar(tmp_path / "mine.tar", pc.add())
    with pytest.raises(IntegrityError), opened(str(tmp_path / "mine.tar")) as place:
        place.lists()


# --- what lies beside ---------------------------------------------------------------------------


def test_rm_and_gc_take_along_what_lies_beside(pc: Machine) -> None:
    item = pc.add_pair().installed
    pc.store.remove(item)
    assert not item.path.parent.exists()
    item = pc.add_pair().installed
    item.path.unlink()
    (item.path.parent / "record.json").unlink()
    assert clean(pc.store, gc_plan(pc.store, older_than_days=-1)) > 0
    assert not item.path.parent.exists()
