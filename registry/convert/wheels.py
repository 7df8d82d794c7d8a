"""Have the vendor's wheel, and know that it is that one: from its git tag, or from the user.

What counts is the digest of its content, never where it came from or what it is called. A wheel
that lies here already is checked again each time.
"""

from __future__ import annotations

import contextlib
import hashlib
import io
import os
import zipfile
import zlib
from dataclasses import dataclass, replace
from email.parser import BytesParser
from typing import TYPE_CHECKING

from rkfetch.registry import addresses, settings
from rkfetch.registry.durable import disk_errors, make_directory, sync_directory
from rkfetch.registry.errors import (
    ConversionUnavailableError,
    IntegrityError,
    NetworkError,
    OfflineError,
    UsageError,
)
from rkfetch.registry.failures import TransientError
from rkfetch.registry.locks import locked
from rkfetch.registry.versions import Version, as_version

from .toolkits import PYTHONS, REPOSITORY, TOOLKITS, Toolkit, Wheel, toolkit

if TYPE_CHECKING:
    from collections.abc import Iterable
    from email.message import Message
    from pathlib import Path

    from rkfetch.registry.http import Http

    from .environment import Watch

_LARGEST = 256 << 20
"""Bytes; the vendor's wheels have 1 to 20 MB."""
_LONGEST_NOTE = 1 << 20
_BLOCK = 1 << 18
BY_HAND = "fetch it by other means, and give it with --toolkit-wheel FILE"


@dataclass(frozen=True, slots=True, kw_only=True)
class WheelFile:
    """A wheel on this machine whose content was checked."""

    path: Path
    toolkit: Version
    python: str
    """``3.11``."""
    name: str
    """What pip wants it to be called; the user's file may have another name."""
    sha256: str
    blob: str
    pinned: bool
    """Whether it is known to be the vendor's."""

    def place(self, folder: Path) -> Path:
        """Copy it into a folder, under the name that pip wants, and return where it is.

        Raises:
            IntegrityError: it is no longer what was checked.
            DiskSpaceError, UsageError: it cannot be written there.
        """
        target = folder / self.name
        with disk_errors(folder):
            content = _content(self.path)
            target.write_bytes(content)
        _require(self.name, content, blob=self.blob, sha256=self.sha256)
        return target


def base_url() -> str:
    """Return where the vendor's repository is, or its mirror (setting ``toolkit_url``)."""
    set_to: str | None = settings.value("toolkit_url")
    return (set_to or REPOSITORY).rstrip("/")


def have_wheel(wheel: Wheel, folder: Path, *, http: Http, watch: Watch) -> WheelFile:
    """Return a release's wheel, kept in ``folder``; fetch it if it is not there.

    Raises:
        ConversionUnavailableError: nobody knows where it can be fetched.
        IntegrityError: what came is another file.
        NetworkError, OfflineError: it cannot be fetched now.
        DiskSpaceError, UsageError: it cannot be written.
    """
    path = folder / wheel.name
    if (kept := _kept(wheel, path)) is not None:
        return kept
    if wheel.url is None:
        raise ConversionUnavailableError(
            f"{wheel.name} is in no release that rkfetch knows the place of",
            hint=f"{BY_HAND}: its digest is known",
        )
    make_directory(folder)
    with (
        disk_errors(folder),
        locked(
            folder / f".{wheel.name}.lock",
            waiting=lambda: watch.step(f"waiting for another rkfetch that fetches {wheel.name}"),
        ),
    ):
        if (kept := _kept(wheel, path)) is not None:
            return kept
        watch.step(f"fetching {wheel.name}")
        temporary = folder / f".{wheel.name}.tmp"
        try:
            _fetch(base_url() + wheel.url.removeprefix(REPOSITORY), temporary, http, watch)
            digests = _require(
                wheel.name, _content(temporary), blob=wheel.blob, sha256=wheel.sha256
            )
            temporary.replace(path)
            sync_directory(folder)
        finally:
            temporary.unlink(missing_ok=True)
    return _file(wheel, path, digests)


def accepted_wheel(
    path: Path, toolkits: Iterable[Toolkit] = TOOLKITS, *, allow_unknown: bool = False
) -> WheelFile:
    """Return a wheel that the user has, whatever its name is.

    With ``allow_unknown`` one that nobody pinned is taken too; its version and Python are then
    what it says about itself.

    Raises:
        UsageError: it cannot be read.
        IntegrityError: it is no wheel of rkllm-toolkit, or one that is not known.
    """
    try:
        content = _content(path)
    except OSError as error:
        raise UsageError(f"{path} cannot be read", cause=[error.strerror or str(error)]) from error
    digests = blob, sha256 = _digests(content)
    for wheel in (wheel for release in toolkits for wheel in release.wheels):
        if _fits(wheel.blob, wheel.sha256, digests):
            return _file(wheel, path, digests)
    about = _about(path, content)
    if not allow_unknown:
        raise IntegrityError(
            f"{path} is no wheel that rkfetch knows",
            expected="a release of rkllm-toolkit as Rockchip published it",
            actual=f"sha256 {sha256}",
            cause=[
                f"it calls itself rkllm-toolkit {about[0]} for Python {about[1]}",
                f"its SHA-256 is {sha256}",
                f"its git blob id is {blob}",
            ],
            hint="if you trust where it came from, add --allow-unknown-toolkit: "
            "its code will be run",
        )
    version, python = about
    wheel = Wheel(toolkit=version, python=python, blob=None, sha256=None, url=None)
    return _file(wheel, path, digests, pinned=False)


def release_of(file: WheelFile) -> Toolkit:
    """Return what is known of the release of a wheel that the user has, with that wheel alone.

    Raises:
        UsageError: it cannot be installed with its own pins.
    """
    known = toolkit(file.toolkit) if file.pinned else None
    why = known.unusable.get(file.python) if known is not None else None
    if known is not None and why is not None:
        raise UsageError(
            f"{file.path} cannot be installed",
            cause=[why],
            hint=f"take the release's wheel for Python {', '.join(known.pythons)}",
        )
    item = Wheel(
        toolkit=file.toolkit, python=file.python, blob=file.blob, sha256=file.sha256, url=None
    )
    return replace(known or Toolkit(version=file.toolkit, wheels=()), wheels=(item,))


# --- digests --------------------------------------------------------------------------------------


def _digests(content: bytes) -> tuple[str, str]:
    blob = hashlib.sha1(b"blob %d\0" % len(content), usedforsecurity=False)
    blob.update(content)
    return blob.hexdigest(), hashlib.sha256(content).hexdigest()


def _fits(blob: str | None, sha256: str | None, digests: tuple[str, str]) -> bool:
    """Tell whether all that is pinned is so, and something is."""
    pinned = [(want, have) for want, have in zip((blob, sha256), digests, strict=True) if want]
    return bool(pinned) and all(want == have for want, have in pinned)


def _require(name: str, content: bytes, *, blob: str | None, sha256: str | None) -> tuple[str, str]:
    digests = _digests(content)
    if not _fits(blob, sha256, digests):
        expected = f"sha256 {sha256}" if sha256 else f"git blob {blob}"
        actual = f"sha256 {digests[1]}, git blob {digests[0]}, {len(content):,} bytes"
        raise IntegrityError(
            f"{name} is not the file that Rockchip published",
            expected=expected,
            actual=actual,
            cause=[f"expected {expected}", f"got {actual}"],
            hint="a server or proxy on the way changes files; look at RKFETCH_TOOLKIT_URL if it is "
            f"set, or {BY_HAND}",
        )
    return digests


def _content(path: Path) -> bytes:
    """Return all of a file.

    Raises:
        OSError: it cannot be read.
        IntegrityError: it is far too large.
    """
    with path.open("rb") as file:
        content = file.read(_LARGEST + 1)
    if len(content) > _LARGEST:
        raise IntegrityError(f"{path} is no wheel: it has more than {_LARGEST:,} bytes")
    return content


def _kept(wheel: Wheel, path: Path) -> WheelFile | None:
    with contextlib.suppress(OSError, IntegrityError):
        digests = _digests(_content(path))
        if _fits(wheel.blob, wheel.sha256, digests):
            return _file(wheel, path, digests)
    return None


def _file(wheel: Wheel, path: Path, digests: tuple[str, str], *, pinned: bool = True) -> WheelFile:
    blob, sha256 = digests
    return WheelFile(
        path=path,
        toolkit=wheel.toolkit,
        python=wheel.python,
        name=wheel.name,
        sha256=sha256,
        blob=blob,
        pinned=pinned,
    )


# --- fetching -------------------------------------------------------------------------------------


def _fetch(url: str, path: Path, http: Http, watch: Watch) -> None:
    def waiting(why: str, seconds: float) -> None:
        watch.detail(f"{why}: trying again in {seconds:.0f} s")

    retries = http.retries(
        waiting=waiting,
        hint=f"try again later, name a mirror of Rockchip's repository with RKFETCH_TOOLKIT_URL, "
        f"or {BY_HAND}",
    )
    while True:
        try:
            _fetch_once(url, path, http)
        except TransientError as error:  # noqa: PERF203 - trying again is the point
            retries.pause(error)
        except OfflineError as error:
            raise OfflineError(
                f"{path.name.removeprefix('.').removesuffix('.tmp')} is not on this machine, and "
                "the network is switched off",
                hint=f"leave out --offline, or {BY_HAND}",
            ) from error
        else:
            return


def _fetch_once(url: str, path: Path, http: Http) -> None:
    with http.open("GET", url) as response:
        http.raise_if_transient(response)
        if response.status != 200:
            raise NetworkError(
                f"{addresses.shown(url)} answered {response.status}",
                hint=f"look at RKFETCH_TOOLKIT_URL if it is set, or {BY_HAND}",
            )
        response.require_plain()
        block = memoryview(bytearray(_BLOCK))
        came = 0
        with path.open("wb") as file:
            while count := response.readinto(block):
                came += count
                if came > _LARGEST:
                    raise IntegrityError(f"{addresses.shown(url)} sends no wheel: it does not end")
                file.write(block[:count])
            file.flush()
            os.fsync(file.fileno())


# --- what a wheel says about itself ---------------------------------------------------------------


def _about(path: Path, content: bytes) -> tuple[Version, str]:
    """Return the version and the Python of a wheel of rkllm-toolkit, by its METADATA and WHEEL."""
    try:
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            metadata, wheel = (_note(archive, name) for name in ("METADATA", "WHEEL"))
    except (zipfile.BadZipFile, zlib.error, ValueError, OSError, RuntimeError) as error:
        raise IntegrityError(
            f"{path} is no wheel", expected="a Python wheel", cause=[str(error)[:200]]
        ) from error
    name = metadata.get("Name", "").strip().lower().replace("_", "-")
    version = as_version(metadata.get("Version", ""))
    tags = [tag.split("-")[0] for tag in wheel.get_all("Tag", [])]
    python = next((p for p in PYTHONS if "cp" + p.replace(".", "") in tags), None)
    if name != "rkllm-toolkit" or version is None or python is None:
        raise IntegrityError(
            f"{path} is no wheel of rkllm-toolkit",
            expected=f"rkllm-toolkit for Python {', '.join(sorted(PYTHONS, key=Version))}",
            actual=f"{name[:80]} {metadata.get('Version', '')[:40]} for {', '.join(tags)[:80]}",
        )
    return version, python


def _note(archive: zipfile.ZipFile, name: str) -> Message:
    found = [i for i in archive.infolist() if i.filename.endswith(f".dist-info/{name}")]
    if len(found) != 1 or found[0].file_size > _LONGEST_NOTE:
        raise ValueError(f"it has no {name}")
    return BytesParser().parsebytes(archive.read(found[0]), headersonly=True)
