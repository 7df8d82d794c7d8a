"""Decode the GGUF container that begins every ``.rkllm`` and ``.gguf`` file, piece by piece.

GGUF version 3, little-endian (https://github.com/ggml-org/ggml/blob/master/docs/gguf.md). In an
``.rkllm`` its magic and strings lie under a fixed mask
(https://github.com/lhxll07/rknn-llm-gui). Bytes are fed in pieces and parsed once; every
number in them is a stranger's claim and is held against a ceiling that all known files meet.
"""

from __future__ import annotations

import re
import struct
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable

_MASK = bytes.fromhex(
    "9da9e670cce76f6662774b69b88b45a1a6fb80a77a92d6f3e80044f8da42e34e"
    "71ff7dcd82069a6495838fa465eadead6d1cf661be8502fc496cf554b43b5dc3"
    "32071db1881910750b76373fb54c91c80a72d21ebf99ecae21af2da809d41fb0"
    "8d3d9f2815d7e1c76a6bd9bc1bc41217a54d13358eee258184205c98367fcf73"
    "5147118987fe7b182f6efdd193cb03f122f0f23c5958c1904aed8660b2232e56"
    "a314bb5bd89b16ba745fdff47e30c9ac9401e968509e318cfa97b6550fa0e2a2"
    "b35ee057ce29d0050d7c3a2cca34e40ceb04d55239c04633789626db38272b63"
    "f9efd3b924e59c48434f8a0ebdf75a67aa7941c2ab533eb72adcc51a0840ddc6"
)


def mask(data: bytes) -> bytes:
    """Lay the mask over one string, or take it off: it is its own inverse.

    The mask starts again at its first byte for each string. It was published by
    https://github.com/lhxll07/rknn-llm-gui and agrees with files of toolkit 1.0.0 and 1.0.1.
    """
    size = len(data)
    stream = _MASK[:size] if size <= 256 else (_MASK * (size // 256 + 1))[:size]
    # One XOR of two big integers is some 50 times faster than a loop over bytes.
    value = int.from_bytes(data, "little") ^ int.from_bytes(stream, "little")
    return value.to_bytes(size, "little")


PLAIN_MAGIC = b"GGUF"
MAGIC = mask(PLAIN_MAGIC)
HEADER_BYTES = 24
MAX_KEYS = 4096
MAX_TENSORS = 1_000_000
MAX_KEY_BYTES = 1 << 10
MAX_STRING_BYTES = 1 << 20
MAX_ELEMENTS = 2_000_000
MAX_DIMS = 4
MAX_ALIGNMENT = 1 << 16
DEFAULT_ALIGNMENT = 32

_SCALARS = {
    0: ("u8", struct.Struct("<B")),
    1: ("i8", struct.Struct("<b")),
    2: ("u16", struct.Struct("<H")),
    3: ("i16", struct.Struct("<h")),
    4: ("u32", struct.Struct("<I")),
    5: ("i32", struct.Struct("<i")),
    6: ("f32", struct.Struct("<f")),
    7: ("bool", struct.Struct("<B")),
    10: ("u64", struct.Struct("<Q")),
    11: ("i64", struct.Struct("<q")),
    12: ("f64", struct.Struct("<d")),
}
_STRING, _ARRAY = 8, 9
_U32, _U64 = struct.Struct("<I"), struct.Struct("<Q")
_HEADER = struct.Struct("<4sIQQ")
_DIMS = [struct.Struct(f"<{dimensions}Q") for dimensions in range(MAX_DIMS + 1)]
_KEY = re.compile(r"[A-Za-z0-9_.-]+", re.ASCII)
_SHOWN = 3
"""Elements of an array that are kept."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """One key of the container, with its value or, for an array, how it begins."""

    key: str
    type: str
    """``u8`` … ``i64``, ``f32``, ``f64``, ``bool``, ``str`` or ``arr``."""
    value: bool | int | float | str | None = None
    """None for an array. Bytes that are no UTF-8 are written ``\\xNN``."""
    element: str | None = None
    count: int | None = None
    first: tuple[Any, ...] = ()
    start: int
    """Offset of the entry's first byte in the file."""
    end: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Tensor:
    """One entry of the tensor directory."""

    name: str
    dims: tuple[int, ...]
    """Innermost first."""
    type: int
    offset: int
    """From the start of the data. Since toolkit 1.1 it is not where a matrix is."""


class _NeedMoreError(Exception):
    """The record goes on behind what was fed."""


class _CutError(Exception):
    """The record goes on behind the end of the file."""


class _RefusedError(Exception):
    """The record cannot be what it claims."""


class _UnknownError(Exception):
    """The record may be sound, but nobody knows how to go on behind it."""


@dataclass(slots=True, kw_only=True)
class _Strings:
    """An array of strings that is being walked through."""

    key: str
    start: int
    count: int
    done: int
    first: list[str]


class Decoder:
    """Take the head of a container in pieces, and hold what was found so far.

    Feed the bytes from `wants` on, until `done`. Arrays of numbers are jumped over: `wants` may
    then lie behind what was fed. Nothing that is fed makes it raise. ``masked`` as in an
    ``.rkllm``; a ``.gguf`` is not.
    """

    def __init__(self, size_bytes: int | None = None, *, masked: bool = True) -> None:
        self._unmask: Callable[[bytes], bytes] = mask if masked else bytes
        self._magic = MAGIC if masked else PLAIN_MAGIC
        self.tensor_count: int | None = None
        self.key_count: int | None = None
        self.entries: dict[str, Entry] = {}
        self.duplicates: list[str] = []
        """Keys that came again; the first value is kept."""
        self.tensors: list[Tensor] = []
        self.keys_end: int | None = None
        """Where the keys end; None until all were read. Only then is a missing key absent."""
        self.directory_end: int | None = None
        self.data_start: int | None = None
        self.refusal: str | None = None
        """What the container claims that cannot be, in plain words."""
        self.unknown: str | None = None
        """What is of a kind that this program does not know, so that decoding stopped there."""
        self.cut: str | None = None
        """Where the file ends too early, in plain words."""
        self._size = size_bytes
        self._buffer = b""
        self._base = 0
        self._pos = 0
        self._keys_read = 0
        self._strings: _Strings | None = None
        self._step: Callable[[], None] | None = self._read_header

    @property
    def done(self) -> bool:
        """No further byte would tell more."""
        return self._step is None

    @property
    def wants(self) -> int:
        """Offset of the next byte to feed."""
        return self._base + max(self._pos, len(self._buffer))

    @property
    def walking(self) -> int | None:
        """Offset of the entry whose strings are being walked through; None between arrays."""
        return None if self._strings is None else self._strings.start

    def jump(self, offset: int, keys: int) -> None:
        """Go on at ``offset``, behind so many keys that are left unread.

        For one who knows from elsewhere how long they are. What stands there is held to the same
        rules, so that a wrong offset ends in `refusal`, `unknown` or `cut`.
        """
        self._base, self._buffer, self._pos = offset, b"", 0
        self._strings = None
        self._keys_read += keys
        self._next_key()

    def feed(self, piece: bytes) -> None:
        """Parse on with the bytes at `wants`."""
        self._base += self._pos
        self._buffer = self._buffer[self._pos :] + piece
        # A jump leaves the position behind the buffer's end, and then the piece begins there.
        self._pos = 0
        while self._step is not None:
            record = self._pos
            try:
                self._step()
            except _NeedMoreError:
                self._pos = record
                return
            except _CutError:
                self._pos = record
                self.finish()
            except _RefusedError as refusal:
                self.refusal = str(refusal)
                self._step = None
            except _UnknownError as unknown:
                self.unknown = str(unknown)
                self._step = None

    def finish(self) -> None:
        """Say that there are no more bytes: if the container wants some, the file is cut off."""
        if self._step is None:
            return
        if self.key_count is None:
            where = "inside its header"
        elif self.keys_end is None:
            where = f"inside its keys, after {self._keys_read} of {self.key_count}"
        else:
            where = f"inside its tensor directory, after {len(self.tensors)} of {self.tensor_count}"
        self.cut = f"the file ends {where}"
        self._step = None

    def _offset(self) -> int:
        return self._base + self._pos

    def _take(self, count: int) -> int:
        """Move past ``count`` bytes; return where they begin in the buffer."""
        start = self._pos
        if count > len(self._buffer) - start:
            self._check_left(count)
            raise _NeedMoreError
        self._pos = start + count
        return start

    def _check_left(self, count: int) -> None:
        if self._size is not None and count > self._size - self._offset():
            raise _CutError

    def _u32(self) -> int:
        return int(_U32.unpack_from(self._buffer, self._take(4))[0])

    def _u64(self) -> int:
        return int(_U64.unpack_from(self._buffer, self._take(8))[0])

    def _bytes(self, limit: int, what: str) -> bytes:
        length = self._u64()
        if length > limit:
            raise _RefusedError(f"{what} claims {length} bytes; reading stopped there")
        start = self._take(length)
        return self._unmask(self._buffer[start : start + length])

    def _read_header(self) -> None:
        magic, version, tensors, keys = _HEADER.unpack_from(self._buffer, self._take(HEADER_BYTES))
        if magic != self._magic:
            kind = "an RKLLM" if self._magic == MAGIC else "a GGUF"
            raise _RefusedError(f"the magic bytes are not those of {kind} container")
        if version != 3:
            raise _RefusedError(f"container version {version} is unknown; all known files have 3")
        if keys > MAX_KEYS:
            raise _RefusedError(f"{keys} keys are claimed; known files have a few dozen")
        if tensors > MAX_TENSORS:
            raise _RefusedError(f"{tensors} tensors are claimed; known files have hundreds")
        self.key_count, self.tensor_count = keys, tensors
        self._next_key()

    def _next_key(self) -> None:
        if self._keys_read < (self.key_count or 0):
            self._step = self._read_key
            return
        self.keys_end = self._offset()
        self._next_tensor()

    def _next_tensor(self) -> None:
        if len(self.tensors) < (self.tensor_count or 0):
            self._step = self._read_tensor
            return
        self.directory_end = self._offset()
        self._step = None
        self._find_data()

    def _read_key(self) -> None:
        start = self._offset()
        key = self._key()
        code = self._u32()
        if code == _ARRAY:
            self._read_array(key, start)
        elif code == _STRING:
            value = _text(self._bytes(MAX_STRING_BYTES, f"the value of {key}"))
            self._keep(Entry(key=key, type="str", value=value, start=start, end=self._offset()))
        elif code in _SCALARS:
            name, layout = _SCALARS[code]
            raw = layout.unpack_from(self._buffer, self._take(layout.size))[0]
            number = bool(raw) if name == "bool" else raw
            self._keep(Entry(key=key, type=name, value=number, start=start, end=self._offset()))
        else:
            raise _UnknownError(f"{key} has the unknown value type {code}; reading stopped there")

    def _key(self) -> str:
        raw = self._bytes(MAX_KEY_BYTES, f"the name of key {self._keys_read + 1}")
        key = raw.decode("ascii", "replace")
        if not _KEY.fullmatch(key):
            raise _RefusedError(
                f"the name of key {self._keys_read + 1} is unreadable:"
                " not a layout that this program knows"
            )
        return key

    def _read_array(self, key: str, start: int) -> None:
        code = self._u32()
        count = self._u64()
        if count > MAX_ELEMENTS:
            raise _RefusedError(f"{key} claims {count} elements; reading stopped there")
        if code == _STRING:
            self._strings = _Strings(key=key, start=start, count=count, done=0, first=[])
            self._step = self._walk_strings
            return
        if code not in _SCALARS:
            raise _UnknownError(f"{key} has the unknown element type {code}; reading stopped there")
        name, layout = _SCALARS[code]
        self._check_left(count * layout.size)
        shown = min(count, _SHOWN)
        at = self._take(shown * layout.size)
        values = [layout.unpack_from(self._buffer, at + n * layout.size)[0] for n in range(shown)]
        self._pos += (count - shown) * layout.size
        first = tuple(map(bool, values)) if name == "bool" else tuple(values)
        self._keep_array(key, name, count, first, start)

    def _walk_strings(self) -> None:
        """Step over strings, whose lengths must all be read; this loop takes most of the time."""
        strings = self._strings
        assert strings is not None
        buffer, pos, size = self._buffer, self._pos, len(self._buffer)
        length_at, done = _U64.unpack_from, strings.done
        while done < strings.count and pos + 8 <= size:
            length = length_at(buffer, pos)[0]
            end = pos + 8 + length
            if length > MAX_STRING_BYTES or end > size:
                break
            if done < _SHOWN:
                strings.first.append(_text(self._unmask(buffer[pos + 8 : end])))
            pos = end
            done += 1
        moved = pos > self._pos
        self._pos, strings.done = pos, done
        if done == strings.count:
            self._strings = None
            self._keep_array(strings.key, "str", strings.count, tuple(strings.first), strings.start)
        elif not moved:
            # Reading the next string alone says why the walk stands: more bytes, cut, or refused.
            self._bytes(MAX_STRING_BYTES, f"element {done + 1} of {strings.key}")

    def _keep_array(
        self, key: str, element: str, count: int, first: tuple[Any, ...], start: int
    ) -> None:
        self._keep(
            Entry(
                key=key,
                type="arr",
                element=element,
                count=count,
                first=first,
                start=start,
                end=self._offset(),
            )
        )

    def _keep(self, entry: Entry) -> None:
        if entry.key in self.entries:
            self.duplicates.append(entry.key)
        else:
            self.entries[entry.key] = entry
        self._keys_read += 1
        self._next_key()

    def _read_tensor(self) -> None:
        name = self._bytes(MAX_KEY_BYTES, f"the name of tensor {len(self.tensors) + 1}")
        dimensions = self._u32()
        if dimensions > MAX_DIMS:
            raise _RefusedError(f"tensor {len(self.tensors) + 1} claims {dimensions} dimensions")
        dims = _DIMS[dimensions].unpack_from(self._buffer, self._take(8 * dimensions))
        kind = self._u32()
        offset = self._u64()
        self.tensors.append(Tensor(name=_text(name), dims=dims, type=kind, offset=offset))
        self._next_tensor()

    def _find_data(self) -> None:
        assert self.directory_end is not None
        alignment = self.integer("general.alignment")
        if alignment is None:
            alignment = DEFAULT_ALIGNMENT
        if not 0 < alignment <= MAX_ALIGNMENT or alignment & (alignment - 1):
            self.refusal = f"general.alignment is {alignment}, which is no sane power of two"
            return
        self.data_start = -(-self.directory_end // alignment) * alignment

    def integer(self, key: str) -> int | None:
        """Return a key's value if it is an integer of any width, None otherwise.

        Types drifted between toolkit versions: https://github.com/noc7c9/rkllm-eos-repro.
        """
        entry = self.entries.get(key)
        if entry is None or isinstance(entry.value, bool) or not isinstance(entry.value, int):
            return None
        return entry.value

    def string(self, key: str) -> str | None:
        """Return a key's value if it is a string, None otherwise."""
        entry = self.entries.get(key)
        return entry.value if entry is not None and isinstance(entry.value, str) else None


def _text(raw: bytes) -> str:
    return raw.decode("utf-8", "backslashreplace")
