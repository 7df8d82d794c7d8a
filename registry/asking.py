"""Ask another machine what board it is, with nothing there but a shell, and read it as our own.

What it tells is written down as a small root file system, which is then detected like any other:
a board is understood in one way, wherever it is.
"""

from __future__ import annotations

import re
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from .deliver import free_bytes
from .errors import RkfetchError
from .link import Talk
from .runtimes import LARGEST_BYTES, LIBRARIES, MARKER, NAMED_BY, SYSTEM_FOLDERS, private_folders
from .target import HEADS, MARKS, READ, detect

if TYPE_CHECKING:
    from .link import Link
    from .target import Board

_MOST_RECORDS = 500
_MOST_BYTES = 8 << 20
_MOST_WHOLE = 3
"""Libraries that are brought here because nothing there can look into them; 8 MB each."""
_LONGEST_PATH = 1024


def _script() -> str:
    """Return the question; every path that is not given is one of our own patterns."""
    whole, in_home = private_folders()
    folders = [*SYSTEM_FOLDERS, *whole]
    folders += [f"{home}/{below}" for home in ("/root", "/home/*") for below in in_home]
    at_root = " ".join(f'"$root"{path}' for path in folders)
    at_home = " ".join(f'"$root$HOME"/{path}' for path in in_home)
    named = " ".join(f'"$root${{{name}:-}}"' for name in NAMED_BY)
    return f"""
root=$1 folder=$2 mark=$3
say() {{ printf '%s\\n' "$mark $*"; }}
over() {{ printf '\\n%s\\n' "$mark over"; }}
seen=" "
library() {{
    [ -f "$1" ] && [ -r "$1" ] || return 0
    case $seen in *" $1 "*) return 0 ;; esac
    seen="$seen$1 "
    say library $(($(wc -c < "$1"))) "${{1#"$root"}}"
    head -c 64 "$1" 2>/dev/null || dd if="$1" bs=64 count=1 2>/dev/null
    over
    say version
    LC_ALL=C grep -a -o '{MARKER.decode()}[^)]*)' "$1" 2>/dev/null ||
        LC_ALL=C grep -o '{MARKER.decode()}[^)]*)' "$1" 2>/dev/null ||
        {{ strings "$1" | grep '{MARKER.decode()}'; }} 2>/dev/null
    over
}}
search() {{ for each in "$1"/{LIBRARIES}; do library "$each"; done; }}
printf '\\n'
for name in HOME LD_LIBRARY_PATH {" ".join(NAMED_BY)}; do
    eval "value=\\${{$name:-}}"
    say value "$name" "$value"
done
for each in {" ".join(f'"$root"{path}' for path in READ)} \\
    "$root"/etc/ld.so.conf "$root"/etc/ld.so.conf.d/*.conf; do
    [ -f "$each" ] && [ -r "$each" ] || continue
    say file "${{each#"$root"}}"
    cat "$each" 2>/dev/null
    over
done
for each in {" ".join(f'"$root"{path}' for path in MARKS)}; do
    if [ -e "$each" ]; then say there "${{each#"$root"}}"; fi
done
for each in {" ".join(f'"$root"{path}' for path in HEADS)}; do
    [ -f "$each" ] && [ -r "$each" ] || continue
    say file "${{each#"$root"}}"
    head -c 64 "$each" 2>/dev/null || dd if="$each" bs=64 count=1 2>/dev/null || cat "$each"
    over
    break
done
for each in {named}; do
    if [ -f "$each" ]; then library "$each"; elif [ "$each" != "$root" ]; then search "$each"; fi
done
old=$IFS; IFS=:
for each in ${{LD_LIBRARY_PATH:-}}; do IFS=$old; search "$root$each"; IFS=:; done
IFS=$old
for each in {at_root}; do search "$each"; done
if [ -n "${{HOME:-}}" ]; then for each in {at_home}; do search "$each"; done; fi
for each in "$root"/etc/ld.so.conf "$root"/etc/ld.so.conf.d/*.conf; do
    [ -f "$each" ] && [ -r "$each" ] || continue
    while read -r line rest; do
        case $line in /*) search "$root$line" ;; esac
    done < "$each"
done
for name in sha256sum; do
    if command -v "$name" >/dev/null 2>&1; then say tool "$name"; fi
done
case $folder in "~") folder=${{HOME:-.}} ;; "~/"*) folder=${{HOME:-.}}/${{folder#??}} ;; esac
case $folder in /*) ;; *) folder=./$folder ;; esac
while [ ! -d "$folder" ]; do
    case $folder in */*) folder=${{folder%/*}} ;; *) folder=. ;; esac
    [ -n "$folder" ] || folder=/
done
(unset CDPATH; cd "$folder" && df -Pk . 2>/dev/null) | while read -r line; do say room "$line"; done
say done
"""


# `$1` is the path, `$2` the mark.
_WHOLE = r"""printf '\n%s\n' "$2 whole"; cat < "$1"; printf '\n%s\n' "$2 over"
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """What another machine says of itself."""

    board: Board
    free_bytes: int | None
    """Where the folder is, or is to be; None if it does not tell."""
    can_verify: bool
    """It has sha256sum."""


def ask_board(link: Link, folder: str = "~", *, root: str = "") -> Asked:
    """Ask a machine which board it is, and how much room there is where ``folder`` is.

    ``root`` is a root file system there to look at, if not its own.

    Raises:
        NetworkError, AuthenticationError: the link broke.
        RkfetchError: it answers nothing that can be understood.
    """
    with tempfile.TemporaryDirectory(prefix="rkfetch-board-") as place:
        asking = _Asking(link, Path(place), root)
        asking.question(folder)
        board = detect(Path(place), asking.environ)
        if board.runtime is None and asking.unread:
            asking.bring_whole()
            board = detect(Path(place), asking.environ)
        return Asked(
            board=board, free_bytes=asking.free_bytes, can_verify="sha256sum" in asking.tools
        )


class _Asking:
    """One question, and the root file system that its answer becomes."""

    def __init__(self, link: Link, place: Path, root: str) -> None:
        self._link = link
        self._place = place
        self._root = root
        self.environ: dict[str, str] = {}
        self.tools: set[str] = set()
        self.free_bytes: int | None = None
        self.unread: list[tuple[str, int]] = []
        """Libraries without a version line, as far as can be seen there, and their sizes."""

    def question(self, folder: str) -> None:
        """Ask, and write the answer down."""
        left = _MOST_BYTES
        with Talk(self._link, _script(), self._root, folder) as talk:
            for _ in range(_MOST_RECORDS):
                word, rest = talk.line()
                if word == "done":
                    return
                if word == "value":
                    name, _, value = rest.partition(" ")
                    self._value(name, value)
                elif word == "tool":
                    self.tools.add(rest)
                elif word == "room":
                    self.free_bytes = free_bytes(rest) or self.free_bytes
                elif word == "there":
                    self._write(rest, b"")
                elif word == "file":
                    data = talk.bytes_until(b"over", left)
                    left -= len(data)
                    self._write(rest, data)
                elif word == "library":
                    left -= self._library(talk, rest, left)
        raise RkfetchError(f"{self._link.host.name} says more than was asked")

    def _library(self, talk: Talk, rest: str, left: int) -> int:
        """Write a library down as a file with holes: how it begins, and the lines that matter."""
        head = talk.bytes_until(b"over", left)
        if talk.line().word != "version":
            raise RkfetchError(f"{self._link.host.name} does not answer as a shell would")
        lines = talk.bytes_until(b"over", left)
        size, _, path = rest.partition(" ")
        if not re.fullmatch(r"\d{1,18}", size):
            return len(head) + len(lines)
        known = head + b"\0\n" + lines.replace(b"\n", b"\0")
        if re.search(re.escape(MARKER) + rb" *[0-9]", lines) is None:
            self.unread.append((path, int(size)))
        self._write(path, known, size=min(int(size), LARGEST_BYTES + 1))
        return len(known)

    def bring_whole(self) -> None:
        """Bring libraries that nothing there can look into, and write them down."""
        for path, size in self.unread[:_MOST_WHOLE]:
            if size > LARGEST_BYTES:
                continue
            with Talk(self._link, _WHOLE, self._root + path) as talk:
                if talk.line().word == "whole":
                    self._write(path, talk.bytes_until(b"over", size + 2))

    def _value(self, name: str, value: str) -> None:
        if name in {"HOME", "LD_LIBRARY_PATH", *NAMED_BY} and value:
            self.environ[name] = value

    def _write(self, path: str, data: bytes, *, size: int = 0) -> None:
        """Write one file of it; a path that could lead anywhere else is passed over."""
        parts = path.split("/")
        safe = path.startswith("/") and len(path) <= _LONGEST_PATH and "\0" not in path
        if not safe or ".." in parts or len(parts) < 2:
            return
        place = self._place.joinpath(*(part for part in parts if part not in {"", "."}))
        try:
            place.parent.mkdir(parents=True, exist_ok=True)
            place.write_bytes(data)
            if size > len(data):
                with place.open("r+b") as file:
                    file.truncate(size)
        except OSError:
            return  # such as a file where it has said a folder before
