"""What in a store is of no use any more, and why; what is in use is never touched."""

from __future__ import annotations

import contextlib
import re
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

from .beside import FOLDER, paths_in
from .durable import disk_errors, require_own
from .journal import journal_of, source_of
from .processes import users_of
from .record import UNKNOWN_SOURCE
from .store import NOTES, is_folder, names_in, remove_paths

if TYPE_CHECKING:
    from pathlib import Path

    from .store import Store

_OF_A_DOWNLOAD = re.compile(r"\.?([0-9a-f]{64})\.(?:partial|journal|journal\.tmp|lock)")
_OF_A_CONVERSION = re.compile(r"([0-9a-f]{64})\.work")
_DAY_S = 86_400.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Leftover:
    """Something in the store that is of no use any more."""

    paths: tuple[Path, ...]
    """What holds the others comes first."""
    size_bytes: int
    """On the disk."""
    reason: str
    key: str
    """Of the download or entry that it is of: whoever holds its lock works on it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Kept:
    """Something unfinished that stays for now."""

    path: Path
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class GcPlan:
    """What a clean-up would remove, and what it would not."""

    leftovers: tuple[Leftover, ...]
    kept: tuple[Kept, ...] = ()

    @property
    def size_bytes(self) -> int:
        """What it would free."""
        return sum(leftover.size_bytes for leftover in self.leftovers)


def gc_plan(store: Store, *, older_than_days: float = 7, now: float | None = None) -> GcPlan:
    """Find what can be removed: partials that are superseded or old, and half-made entries.

    Left out is what a live process holds the lock of or has open, and what is not rkfetch's own.

    Raises:
        RkfetchError: a folder of the store leads out of it, or cannot be read.
    """
    require_own(store.partials)
    require_own(store.models)
    plan = _Plan(store, older_than_days, time.time() if now is None else now)
    downloads: dict[str, list[Path]] = {}
    for name in names_in(store.partials):
        path = store.partials / name
        if (match := _OF_A_DOWNLOAD.fullmatch(name)) and not is_folder(path):
            downloads.setdefault(match[1], []).append(path)
        elif (match := _OF_A_CONVERSION.fullmatch(name)) and is_folder(path):
            plan.look_at_conversion(match[1], path)
    for key, paths in downloads.items():
        plan.look_at_download(key, sorted(paths, reverse=True))
    for sha256 in store.digests():
        if is_folder(store.models / sha256):
            plan.look_at_entry(sha256)
    return plan.finished()


class _Plan:
    """A plan in the making."""

    def __init__(self, store: Store, older_than_days: float, now: float) -> None:
        self._store = store
        self._days = older_than_days
        self._now = now
        self._leftovers: list[Leftover] = []
        self._kept: list[Kept] = []

    def look_at_download(self, key: str, paths: list[Path]) -> None:
        """Judge what is in the folder of partials under one key."""
        locks = [path for path in paths if path.suffix == ".lock"]
        content = [path for path in paths if path.suffix != ".lock"]
        if self._store.is_locked(key):
            self._keep(content or locks, "a running rkfetch works on it")
        elif not content:
            self._remove(locks, "left by a process that was killed", key)
        elif self._store.find(key) is not None:
            self._remove(paths, "the file is here, complete", key)
        elif self._is_old(content):
            source = source_of(journal_of(self._store.partial(key)))
            what = f" of {source}" if source else ""
            self._remove(paths, f"nobody has gone on with this download{what}", key)
        else:
            self._keep(content, f"it can be gone on with ({self._age(content)})")

    def look_at_conversion(self, key: str, folder: Path) -> None:
        """Judge the folder that a conversion worked in: it begins anew each time."""
        if self._store.is_locked(key):
            self._keep([folder], "a running rkfetch converts in it")
        else:
            below = sorted(folder.rglob("*"))
            self._remove([folder, *below], "left by a conversion that was ended", key)

    def look_at_entry(self, sha256: str) -> None:
        """Judge the folder of one content."""
        directory = self._store.models / sha256
        item = self._store.load(sha256)
        names = set(names_in(directory))
        notes = [directory / name for name in sorted(names & NOTES)]
        if item is None:
            if names - NOTES - {FOLDER}:
                return
            paths = [*paths_in(directory), *notes]
            what, reason = directory, "has no file in it"
        elif item.record.damaged and item.record.source == UNKNOWN_SOURCE:
            what, paths = item.path, [*paths_in(directory), item.path, *notes]
            reason = "is damaged, and it is not known where it came from"
        else:
            return
        if self._store.is_locked(sha256):
            self._keep([what], "a running rkfetch works on it")
        elif self._is_old([what]):
            self._remove([directory, *paths], reason, sha256)
        else:
            self._keep([what], f"it {reason} ({self._age([what])})")

    def finished(self) -> GcPlan:
        """Return the plan, without what a process has open."""
        users = users_of(path for leftover in self._leftovers for path in leftover.paths)
        free = []
        for leftover in self._leftovers:
            used = next((path for path in leftover.paths if path in users), None)
            if used is None:
                free.append(leftover)
            else:
                self._keep([used], f"process {users[used]} has it open")
        return GcPlan(leftovers=tuple(free), kept=tuple(self._kept))

    def _remove(self, paths: list[Path], reason: str, key: str) -> None:
        size = 0
        for path in paths:
            with contextlib.suppress(FileNotFoundError):
                status = path.lstat()
                # What has another name too takes its room all the same.
                size += 0 if status.st_nlink > 1 and not is_folder(path) else status.st_blocks * 512
        self._leftovers.append(
            Leftover(paths=tuple(paths), size_bytes=size, reason=reason, key=key)
        )

    def _keep(self, paths: list[Path], reason: str) -> None:
        self._kept.append(Kept(path=paths[0], reason=reason))

    def _is_old(self, paths: list[Path]) -> bool:
        return self._age_days(paths) > self._days

    def _age_days(self, paths: list[Path]) -> float:
        times = [0.0]
        for path in paths:
            with contextlib.suppress(FileNotFoundError):
                times.append(path.lstat().st_mtime)
        return (self._now - max(times)) / _DAY_S

    def _age(self, paths: list[Path]) -> str:
        return f"{max(0.0, self._age_days(paths)):.0f} of {self._days:g} days old"


def clean(store: Store, plan: GcPlan) -> int:
    """Remove what a plan names, unless it came into use meanwhile; return the bytes freed.

    Raises:
        UsageError, RkfetchError: as `durable.disk_errors`.
    """
    freed = 0
    for leftover in plan.leftovers:
        with disk_errors(store.partials), store.locked_at_once(leftover.key) as ours:
            if ours and not _came_into_use(store, leftover):
                remove_paths(leftover.paths)
                freed += leftover.size_bytes
    return freed


def _came_into_use(store: Store, leftover: Leftover) -> bool:
    if users_of(leftover.paths):
        return True
    if leftover.paths[0].parent != store.models:
        return False
    item = store.load(leftover.key)
    return item is not None and not item.record.damaged
