"""What runs first in ``rkfetch.pyz``: unpack it where it was not yet, and start rkfetch from there.

Python keeps no compiled code of what it imports from a zip file: every start would compile
everything again, which doubles what it costs. So the file is unpacked, once for each version of
it, into a folder that nobody but this user may write to.

Any Python that a board has can read this module, so that it can say which one is needed.
"""

import os
import stat
import sys

CONTENT = "@CONTENT@"
"""The SHA-256 of what is in the file, in place of which ``make.py`` writes it."""
_OLDEST = (3, 10)
_GONE = ".gone"


def main():  # type: () -> None
    """Make rkfetch importable, and run its command line."""
    if sys.version_info < _OLDEST:
        _stop(1, "rkfetch needs Python 3.10 or later; this is " + sys.version.split()[0])
    try:
        sys.path[0] = _unpacked(os.path.abspath(sys.path[0]))
    except KeyboardInterrupt:
        sys.exit(130)
    from rkfetch.cli.main import main as rkfetch

    rkfetch()


def _stop(code, *lines):  # type: (int, *str) -> None
    sys.stderr.write("error: " + "\n".join(lines) + "\n")
    sys.exit(code)


def _unpacked(file):  # type: (str) -> str
    """Return a folder with what is in ``file``."""
    whys = []
    for base in _bases():
        try:
            return _kept(file, base)
        except OSError as error:
            whys.append("  {}: {}".format(base, error.strerror or error))
    try:
        return _passing(file)
    except OSError as error:
        whys.append("  {}".format(error.strerror or error))
    whys.append("hint: name a folder that you may write to with RKFETCH_HOME or TMPDIR")
    _stop(8, "rkfetch.pyz finds no place to unpack itself, which takes 20 MB", *whys)
    raise AssertionError  # not reached


def _bases():  # type: () -> list[str]
    """Return the folders that may keep it: where the user keeps all of rkfetch, else the cache."""
    home = os.environ.get("RKFETCH_HOME")
    cache = os.environ.get("XDG_CACHE_HOME") or os.path.join("~", ".cache")
    named = ([os.path.join(home, "pyz")] if home else []) + [os.path.join(cache, "rkfetch", "pyz")]
    # Without a home folder the "~" stays, and there is no cache.
    return [place for place in map(os.path.expanduser, named) if not place.startswith("~")]


def _kept(file, base):  # type: (str, str) -> str
    """Return the folder below ``base``; who comes first unpacks it, and others wait for that.

    Raises:
        OSError: it cannot be written, or others may write to it.
    """
    import fcntl

    folder = os.path.join(os.path.abspath(base), CONTENT[:16])
    if _is_there(folder):
        return folder
    os.makedirs(base, 0o700, exist_ok=True)
    lock = os.open(base, os.O_RDONLY)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not _is_there(folder):
            _clear(base)
            new = folder + ".new"
            _unpack(file, new)
            os.sync()  # a file that a power cut empties later would be taken for whole
            os.rename(new, folder)
            _is_there(folder)
    finally:
        os.close(lock)
    return folder


def _is_there(folder):  # type: (str) -> bool
    """Tell whether the folder is there; if it is, it stays until this process has ended.

    Raises:
        OSError: others may write to it.
    """
    import fcntl

    base = os.path.dirname(folder)
    for place in (os.path.dirname(base), base):
        if os.path.exists(place):
            _require_own(place)
    try:
        used = os.open(folder, os.O_RDONLY)  # open to the end: see _clear
        fcntl.flock(used, fcntl.LOCK_SH)
        return os.path.samestat(os.fstat(used), os.stat(folder))
    except FileNotFoundError:
        return False


def _require_own(folder):  # type: (str) -> None
    """Raise where others could put their code into what this user runs; one's own group may."""
    found = os.stat(folder)
    others = stat.S_IWOTH if found.st_gid == os.getegid() else stat.S_IWOTH | stat.S_IWGRP
    if found.st_uid != os.geteuid() or found.st_mode & others:
        raise PermissionError(1, "others may write to it")


def _clear(base):  # type: (str) -> None
    """Remove what no process uses: other versions, and what a killed one has left."""
    import fcntl
    import shutil

    for name in os.listdir(base):
        old = os.path.join(base, name)
        used = os.open(old, os.O_RDONLY)
        try:
            fcntl.flock(used, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if not name.endswith(_GONE):
                os.rename(old, old + _GONE)  # at once: half of a version would be taken for whole
                old += _GONE
            shutil.rmtree(old)
        except OSError:
            pass
        finally:
            os.close(used)


def _passing(file):  # type: (str) -> str
    """Return a folder that goes when this process ends, where none can be kept."""
    import atexit
    import shutil
    import tempfile

    sys.dont_write_bytecode = True
    folder = None
    for parent in (None, "/dev/shm"):
        try:
            folder = tempfile.mkdtemp(prefix="rkfetch-", dir=parent)
            atexit.register(shutil.rmtree, folder, ignore_errors=True)
            _unpack(file, folder)
        except OSError:
            if parent is not None:
                raise
        else:
            break
    return str(folder)


def _unpack(file, folder):  # type: (str, str) -> None
    import io
    import zipfile
    import zlib

    before = os.umask(0o077)
    try:
        with zipfile.ZipFile(file) as outer:
            if CONTENT.encode() not in outer.read("__main__.py"):
                _stop(7, file + " was replaced just now", "hint: run it again")
            with zipfile.ZipFile(io.BytesIO(outer.read("content.zip"))) as packed:
                packed.extractall(folder)
    except (zipfile.BadZipFile, zlib.error, EOFError) as error:
        _stop(7, file + " is damaged", "  {}".format(error), "hint: copy it here once more")
    finally:
        os.umask(before)


if __name__ == "__main__":
    main()
