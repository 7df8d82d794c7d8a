"""Tar files of strangers: read within bounds, and by any program what is written here."""

from __future__ import annotations

import io
import tarfile
from typing import TYPE_CHECKING, BinaryIO, cast

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rkfetch.registry import tar
from rkfetch.registry.errors import IntegrityError

if TYPE_CHECKING:
    from collections.abc import Mapping

LONG = "/".join("folder" * 3 for _ in range(12)) + "/x.rkllm"
FILES = {"top/list.json": b"{}", LONG: b"a" * 1000, "top/empty": b"", "top/\u4e2d": b"b" * 512}


class Pipe(io.RawIOBase):
    """What cannot be rewound, and gives few bytes at a time."""

    def __init__(self, content: bytes) -> None:
        self._content = io.BytesIO(content)

    def readable(self) -> bool:
        return True

    def read(self, count: int = -1) -> bytes:
        return self._content.read(min(count, 333) if count >= 0 else count)


def written(files: Mapping[str, bytes]) -> bytes:
    parts = [tar.head(n, len(c)) + c + tar.filling(len(c)) for n, c in files.items()]
    return b"".join(parts) + tar.END


def made(files: Mapping[str, bytes], form: int, *others: tarfile.TarInfo) -> bytes:
    content = io.BytesIO()
    with tarfile.open(fileobj=content, mode="w", format=form) as file:
        for other in others:
            file.addfile(other)
        for name, data in files.items():
            info = tarfile.TarInfo(name)
            info.size = len(data)
            file.addfile(info, io.BytesIO(data))
    return content.getvalue()


def read(content: bytes, *, seeks: bool) -> dict[str, bytes]:
    file = cast("BinaryIO", io.BytesIO(content) if seeks else Pipe(content))
    reader = tar.TarReader(file, what="it", seeks=seeks)
    if not seeks:
        return {m.name: b"".join(reader.content()) for m in reader.members()}
    members = list(reader.members())
    found = {}
    for member in reversed(members):
        reader.go_to(member)
        found[member.name] = b"".join(reader.content())
    return found


@pytest.mark.parametrize("seeks", [True, False])
def test_what_is_written_is_read(*, seeks: bool) -> None:
    assert read(written(FILES), seeks=seeks) == FILES


def test_every_tar_program_reads_what_is_written() -> None:
    with tarfile.open(fileobj=io.BytesIO(written(FILES))) as file:
        found = {m.name: (m.size, m.mode, m.uid) for m in file.getmembers()}
    assert found == {name: (len(content), 0o644, 0) for name, content in FILES.items()}


@pytest.mark.parametrize("seeks", [True, False])
@pytest.mark.parametrize("form", [tarfile.USTAR_FORMAT, tarfile.GNU_FORMAT, tarfile.PAX_FORMAT])
def test_what_other_programs_make_is_read(form: int, *, seeks: bool) -> None:
    files = {n: c for n, c in FILES.items() if form != tarfile.USTAR_FORMAT or n != LONG}
    folder, link = tarfile.TarInfo("top"), tarfile.TarInfo("top/link")
    folder.type, link.type, link.linkname = tarfile.DIRTYPE, tarfile.SYMTYPE, "/etc/passwd"
    assert read(made(files, form, folder, link), seeks=seeks) == files


def test_a_size_beyond_eight_gigabytes_is_written() -> None:
    info = tarfile.TarInfo.frombuf(tar.head("x", 20 << 30), "utf-8", "strict")
    assert info.size == 20 << 30


@pytest.mark.parametrize("seeks", [True, False])
def test_one_that_is_cut_anywhere_is_told(*, seeks: bool) -> None:
    whole = written(FILES)
    for length in [*range(0, len(whole) - len(tar.END), 97), len(whole) - len(tar.END)]:
        with pytest.raises(IntegrityError, match=r"cut short|cannot be read"):
            read(whole[:length], seeks=seeks)


def test_a_name_that_claims_to_be_endless_costs_nothing() -> None:
    info = tarfile.TarInfo("././@LongLink")
    for kind in (tarfile.GNUTYPE_LONGNAME, tarfile.XHDTYPE):
        info.type, info.size = kind, 1 << 40
        with pytest.raises(IntegrityError, match="cannot be read"):
            read(info.tobuf(tarfile.GNU_FORMAT), seeks=True)


def test_sparse_files_are_refused_with_a_word() -> None:
    info = tarfile.TarInfo("x")
    info.type = tarfile.GNUTYPE_SPARSE
    with pytest.raises(IntegrityError) as error:
        read(info.tobuf(tarfile.GNU_FORMAT) + tar.END, seeks=True)
    assert "--sparse" in str(error.value.hint)


@given(st.binary(max_size=2000), st.integers(0, 3000), st.booleans())
def test_whatever_comes_it_is_read_or_refused(noise: bytes, at: int, seeks: bool) -> None:
    whole = bytearray(written(FILES))
    whole[at : at + len(noise)] = noise
    try:
        found = read(bytes(whole), seeks=seeks)
    except IntegrityError:
        return
    assert sum(map(len, found.values())) <= len(whole)
