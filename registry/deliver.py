"""Deliver a file of the store to another machine: resumed, compared there, then under its name.

That machine needs no more than a POSIX shell with cat, wc, mkdir, mv, rm and sha256sum, as every
board has. All of it happens in one script there, which holds a lock as long as it lives.
"""

from __future__ import annotations

import hashlib
import os
import re
import socket
import tempfile
import time
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from .bring import GOES_ON, Patience
from .durable import BLOCK_BYTES, disk_errors, hash_file
from .errors import DiskSpaceError, IntegrityError, NetworkError, RkfetchError
from .link import Talk
from .locks import locked
from .progress import NoProgress

if TYPE_CHECKING:
    from collections.abc import Iterator

    from .link import Line, Link
    from .progress import Progress
    from .store import Installed

# Commands of the one script that does it: `anew` forgets what is there, `rest` takes the rest of
# stdin, `piece` takes a file that was put there, `end` says that all pieces are there.
# A lock is a file that names the shell that holds it: its number, its group, the time when it
# began (a number is used again), and the sender. What the same sender left, on a connection that
# is dead and does not know it yet, is ended; no other sender's is while it lives.
_SCRIPT = r"""
folder=$1 name=./$2 partial=./$3.partial piece=./$3.piece lock=./$3.lock
size=$4 digest=$5 sender=$6 mark=$7
say() { printf '%s\n' "$mark $*"; }
die() { say "failed $*"; exit 0; }
sum() { sum=$(sha256sum < "$1") || die read "$1"; sum=${sum%% *}; sum=${sum#\\}; }
life() {
    line=
    { read -r line < "/proc/$1/stat"; } 2>/dev/null
    set -- ${line##*) }
    life="${3:-0} ${20:-0}"
}
take() { ( set -C; printf '%s\n' "$$ $mine $sender" > "$lock" ) 2>/dev/null; }

command -v sha256sum >/dev/null 2>&1 || die tool there is no sha256sum
unset CDPATH
case $folder in "~") folder=${HOME:-.} ;; "~/"*) folder=${HOME:-.}/${folder#??} ;; esac
case $folder in /*) ;; *) folder=./$folder ;; esac
why=$(mkdir -p "$folder" 2>&1) || die folder "$why"
why=$(cd "$folder" 2>&1) || die folder "$why"
cd "$folder"
[ ! -d "$name" ] || die folder "$name is a folder"

life "$$"; mine=$life
if ! take; then
    [ -e "$lock" ] || die folder "$( { : > "$lock"; } 2>&1 )"
    [ -s "$lock" ] || { rm -f "$lock"; say busy; exit 0; }
    { read -r old < "$lock"; } 2>/dev/null
    set -f; set -- $old; set +f
    pid=${1:-0} group=${2:-0} began=${3:-0} who=${4:-}
    case $pid$group$began in *[!0-9]*) pid=0 group=0 ;; esac
    life "$pid"
    if [ "$who" = "$sender" ]; then
        if [ "$life" = "$group $began" ] && [ "$began" != 0 ] && [ "$group" != "${mine% *}" ]; then
            kill -9 "-$group" 2>/dev/null
        fi
    elif [ "$life" = "$group $began" ] && [ "$pid" != 0 ]; then
        if [ "$began" != 0 ] || kill -0 "$pid" 2>/dev/null; then say busy; exit 0; fi
    fi
    mv -f "$lock" "$lock.$$" 2>/dev/null && { read -r now < "$lock.$$"; } 2>/dev/null
    [ "$now" = "$old" ] || { mv -f "$lock.$$" "$lock" 2>/dev/null; say busy; exit 0; }
    rm -f "$lock.$$"
    take || { say busy; exit 0; }
fi
trap 'rm -f "$lock" "$piece"' EXIT
trap 'exit 1' HUP INT TERM PIPE

have=0 part=- there=-
if [ -f "$name" ] && [ $(($(wc -c < "$name"))) -eq "$size" ]; then sum "$name"; there=$sum; fi
[ ! -L "$partial" ] || rm -f "$partial"
[ ! -f "$partial" ] || have=$(($(wc -c < "$partial")))
[ "$have" -le "$size" ] || { rm -f "$partial"; have=0; }
if [ "$have" -gt 0 ] && [ "$there" != "$digest" ]; then sum "$partial"; part=$sum; fi
[ "$there" != "$digest" ] || rm -f "$partial"
say "folder $(pwd)"
df -Pk . 2>/dev/null | while read -r line; do say "room $line"; done
say "state $have $part $there"

whole=
while [ -z "$whole" ] && read -r order; do
    case $order in
    anew) rm -f "$partial" ;;
    rest) why=$( { cat >> "$partial"; } 2>&1 ) || die write "$why"; whole=1 ;;
    piece) why=$( { cat "$piece" >> "$partial"; } 2>&1 ) || die write "$why"
        rm -f "$piece"; say taken ;;
    end) whole=1 ;;
    esac
done
[ -n "$whole" ] || exit 0
have=0
[ ! -f "$partial" ] || have=$(($(wc -c < "$partial")))
[ "$have" -eq "$size" ] || { say "short $have"; exit 0; }
say all
if command -v sync >/dev/null 2>&1; then sync; fi
sum "$partial"
[ "$sum" = "$digest" ] || { rm -f "$partial"; say "wrong $sum"; exit 0; }
why=$(mv -f "$partial" "$name" 2>&1) || die folder "$why"
if command -v sync >/dev/null 2>&1; then sync; fi
say done
"""
# `$1` is the folder, `$2` the name, `$3` the temporary one without its ending, `$4` the mark.
_LENGTHS = r"""
case $1 in "~") set -- "${HOME:-.}" "$2" "$3" "$4" ;;
"~/"*) set -- "${HOME:-.}/${1#??}" "$2" "$3" "$4" ;; esac
final=0 part=0
[ ! -f "$1/$2" ] || final=$(($(wc -c < "$1/$2")))
[ ! -f "$1/$3.partial" ] || part=$(($(wc -c < "$1/$3.partial")))
printf '%s\n' "$4 lengths $final $part"
"""
_PIECE_BYTES = 16 << 20
_MARGIN_BYTES = 1 << 20
_PAUSE_S = 1.0
_PATIENCE_S = 600.0
"""How long another sender is waited for that brings nothing to an end."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Delivered:
    """A file that lies on another machine now."""

    path: str
    """There, absolute."""
    action: Literal["present", "copied"]
    resumed_from: int = 0
    """Bytes that an earlier delivery had left."""


def deliver(
    link: Link, item: Installed, folder: str, progress: Progress | None = None
) -> Delivered:
    """Copy a file of the store into a folder there, which is made if it is not there.

    It comes under a temporary name, is read and compared there, and only then gets its own. What
    came before a link broke is compared, and used again. ``folder`` is relative to the user's
    home; ``~/`` may stand before it. Who sends the same file there waits for the other.

    Raises:
        IntegrityError: what arrived is not what was sent, twice.
        NetworkError, AuthenticationError: the link broke, and again and again; or another machine
            sends it for long.
        DiskSpaceError: there is no room there.
        RkfetchError: the folder cannot be written, or there is no sha256sum.
    """
    return _Delivery(link, item, folder, progress or NoProgress()).run()


class _Delivery:
    """One file on its way there."""

    def __init__(self, link: Link, item: Installed, folder: str, progress: Progress) -> None:
        self._link = link
        self._item = item
        self._size = item.record.size_bytes
        self._temporary = _temporary(item.record.sha256)
        self._sha256 = item.record.sha256
        self._folder = folder
        self._progress = progress
        self._resumed = 0
        self._furthest = 0

    def run(self) -> Delivered:
        with self._alone():
            patience = Patience(self._link, self._progress)
            busy_until = None
            damaged: str | None = None
            while True:
                before = self._furthest
                try:
                    done = self._once()
                except NetworkError as error:
                    patience.broke(error, forward=self._furthest > before)
                    continue
                if isinstance(done, Delivered):
                    return done
                if done is None:
                    busy_until = self._wait(busy_until)
                    continue
                if damaged is not None:
                    raise self._damaged(done)
                damaged = done
                self._progress.restarted("what arrived is not what was sent")

    def _damaged(self, actual: str) -> IntegrityError:
        return IntegrityError(
            f"what arrived on {self._link.host.name} is not what was sent",
            expected=self._sha256,
            actual=actual,
            cause=[f"expected {self._sha256}", f"got      {actual}"],
            hint="check the disk there; rkfetch verify checks the file here",
        )

    def _wait(self, until: float | None) -> float:
        """Let another sender come to its end."""
        name = self._link.host.name
        if until is None:
            self._progress.waiting(f"another machine is sending this file to {name}", 0)
            until = time.monotonic() + _PATIENCE_S
        if time.monotonic() > until:
            lock = f"{self._folder.rstrip('/')}/{self._temporary}.lock"
            raise NetworkError(
                f"another machine has been sending this file to {name} for long",
                hint=f"run it again later; if nobody sends it, remove {lock} there",
            )
        time.sleep(_PAUSE_S)
        return until

    @contextmanager
    def _alone(self) -> Iterator[None]:
        """Be the only process of this user here that sends this file to that folder."""
        what = f"{self._link.host.address}\0{self._folder}\0{self._sha256}"
        key = hashlib.sha256(what.encode()).hexdigest()[:32]
        place = Path(tempfile.gettempdir()) / f"rkfetch-{os.getuid()}-{key}.lock"
        name = self._link.host.name

        def waiting() -> None:
            self._progress.waiting(f"another rkfetch is sending this file to {name}", 0)

        with disk_errors(place.parent), locked(place, waiting=waiting):
            yield

    def _once(self) -> Delivered | str | None:
        """Send what is missing over one connection.

        Returns what was delivered; the digest of what arrived, if that is another one; None if
        another machine is at it.
        """
        arguments = (
            self._folder,
            self._item.path.name,
            self._temporary,
            str(self._size),
            self._sha256,
            _sender(),
        )
        with Talk(self._link, _SCRIPT, *arguments) as talk:
            there = self._look(talk)
            if there is None:
                return None
            path = f"{there.folder.rstrip('/')}/{self._item.path.name}"
            if there.final == self._sha256:
                return Delivered(
                    path=path,
                    action="copied" if self._furthest == self._size else "present",
                    resumed_from=self._resumed,
                )
            have = self._begin(talk, there)
            if self._link.by_pieces:
                self._send_pieces(talk, have, f"{there.folder}/{self._temporary}.piece")
            else:
                self._send_rest(talk, have)
            line = self._next(talk)
            if line.word == "all":
                self._progress.phase("verify")
                line = self._next(talk)
            if line.word == "wrong":
                self._furthest = 0
                return line.rest[:64]
            if line.word != "done":
                raise NetworkError(f"the link to {self._link.host.name} lost bytes", hint=GOES_ON)
            return Delivered(path=path, action="copied", resumed_from=self._resumed)

    def _look(self, talk: Talk) -> _There | None:
        folder, free = self._folder, None
        while True:
            line = self._next(talk)
            if line.word == "busy":
                return None
            if line.word == "folder":
                folder = line.rest
            elif line.word == "room":
                free = free_bytes(line.rest) or free
            elif line.word == "state":
                match = re.fullmatch(r"(\d{1,18}) ([0-9a-f]{64}|-) ([0-9a-f]{64}|-)", line.rest)
                if match is not None and int(match[1]) <= self._size:
                    return _There(folder, int(match[1]), match[2], match[3], free)
                raise RkfetchError(f"{self._link.host.name} does not answer as a shell would")

    def _begin(self, talk: Talk, there: _There) -> int:
        """Decide from where to send; returns that."""
        have = there.length
        fits = False
        if have:
            self._progress.phase("resume")
            with disk_errors(self._item.path.parent):
                ours = hash_file(self._item.path, length=have).hexdigest()
            fits = ours == there.part
        self._require_space(there, have)
        self._progress.phase("deliver")
        if have and not fits:
            self._progress.restarted("what was there of it does not fit")
            talk.send(b"anew\n")
            have = 0
        if not self._furthest:
            self._resumed = have
        self._progress.started(self._size, have)
        return have

    def _require_space(self, there: _There, have: int) -> None:
        need = self._size - have + _MARGIN_BYTES
        if there.free is not None and there.free < need:
            raise no_room(self._link.host.name, there.folder, need, there.free)

    def _send_rest(self, talk: Talk, have: int) -> None:
        talk.send(b"rest\n")
        with disk_errors(self._item.path.parent), self._item.path.open("rb", buffering=0) as file:
            file.seek(have)
            while block := file.read(BLOCK_BYTES):
                if not talk.send(block):
                    break
                have += len(block)
                self._moved(have)
        talk.finish()

    def _send_pieces(self, talk: Talk, have: int, path: str) -> None:
        with disk_errors(self._item.path.parent), self._item.path.open("rb", buffering=0) as file:
            file.seek(have)
            while block := file.read(_PIECE_BYTES):
                self._link.put(block, path)
                talk.send(b"piece\n")
                if self._next(talk).word != "taken":
                    raise NetworkError(f"{self._link.host.name} lost a part", hint=GOES_ON)
                have += len(block)
                self._moved(have)
        talk.send(b"end\n")

    def _moved(self, have: int) -> None:
        self._furthest = max(self._furthest, have)
        self._progress.advanced(have)

    def _next(self, talk: Talk) -> Line:
        """Return the next line; one that tells a failure is raised."""
        line = talk.line()
        if line.word != "failed":
            return line
        name, (kind, _, why) = self._link.host.name, line.rest.partition(" ")
        if "no space left" in why.lower():
            raise DiskSpaceError(
                f"the disk of {name} is full",
                where=f"{name}:{self._folder}",
                cause=[why],
                hint=f"make room there; {GOES_ON}",
            )
        if kind == "tool":
            raise RkfetchError(
                f"{name} cannot verify what it is sent",
                cause=[why],
                hint="install coreutils or busybox there",
            )
        raise RkfetchError(
            f"{self._folder} on {name} cannot be used",
            cause=[why] if why else [],
            hint="name a folder that the user there may write to",
        )


@dataclass(frozen=True, slots=True)
class _There:
    """What a machine has of a file."""

    folder: str
    length: int
    part: str
    final: str
    free: int | None


def bytes_there(link: Link, folder: str, name: str, sha256: str | None, size: int) -> int:
    """Tell how many bytes of a file need no room there any more, because they seem to be there.

    Raises:
        NetworkError, AuthenticationError, RkfetchError: it could not be asked.
    """
    temporary = _temporary(sha256 or "0" * 64)
    with Talk(link, _LENGTHS, folder, name, temporary) as talk:
        match = re.fullmatch(r"(\d{1,18}) (\d{1,18})", talk.line().rest)
    if match is None:
        return 0
    final, part = int(match[1]), int(match[2])
    return size if final == size else min(part, size)


def _temporary(sha256: str) -> str:
    """Return how the names of all that is temporary there begin."""
    return f".{sha256[:16]}"


def free_bytes(line: str) -> int | None:
    """Read how many bytes are free from a line of ``df -Pk``; None if it is another line."""
    room = re.search(r"\s\d+\s+\d+\s+(\d{1,18})\s+\d+%\s", line)
    return int(room[1]) * 1024 if room else None


def no_room(name: str, folder: str, need: int, have: int) -> DiskSpaceError:
    """Return what to say where a file does not fit on a machine's disk."""
    return DiskSpaceError(
        f"not enough room in {folder} on {name}",
        need_bytes=need,
        have_bytes=have,
        where=f"{name}:{folder}",
        cause=[f"{need:,} bytes are needed, {have:,} are free"],
        hint="make room there, or name another folder",
    )


def _sender() -> str:
    """Return what this user on this machine is known by to a board; it tells nothing of them."""
    try:
        machine = Path("/etc/machine-id").read_text("ascii", "replace")
    except OSError:
        machine = ""
    who = f"{machine} {socket.gethostname()} {os.getuid()}"
    return hashlib.sha256(who.encode()).hexdigest()[:16]
