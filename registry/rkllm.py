"""Tell from the bytes of an ``.rkllm`` file what it is, for whom, and whether it is whole.

Bytes in, facts out: the head through `gguf.Decoder`, the last bytes through `read_trailer`.
What the keys mean was worked out from files of toolkit 1.0.0 and 1.0.1 and from public work on
1.1.4 to 1.3.1 (https://github.com/lhxll07/rknn-llm-gui); where only a guess exists, the raw
number is kept and nothing is decided on it.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from .gguf import DEFAULT_ALIGNMENT
from .model import Evidence, Origin, Platform, Quant
from .versions import Version, as_version

if TYPE_CHECKING:
    from collections.abc import Mapping

    from .foreign import Foreign
    from .gguf import Decoder, Entry, Tensor

TAIL_BYTES = 64
"""How many last bytes can hold the trailer; it was seen 28 and 29 bytes before the end."""

EOS_KEY = "tokenizer.ggml.eos_token_id"
WANTED: Mapping[str, str] = {
    "toolkit": "rkllm.version",
    "platform": "rkllm.platform",
    "npu_cores": "rkllm.core_num",
    "max_context": "rkllm.max_context",
    "architecture": "general.architecture",
    "file_type": "general.file_type",
}
"""The facts that a cheap reading is after, and their keys."""
WANTED_IN_FULL: Mapping[str, str] = {
    **WANTED,
    "model_name": "rkllm.model_name",
    "eos_type": EOS_KEY,
}
"""The facts that a full reading is after."""

_PLATFORMS = {0: Platform.RK3588, 1: Platform.RK3576}
# From the order in which support was added (1.2.0, 1.2.1); nobody has published these codes.
_PROBABLE_PLATFORMS = {2: Platform.RK3562, 3: Platform.RV1126B}
_W8A8, _W4A16 = 18, 19
_QUANTS_10 = {1: Quant(16, 16), _W8A8: Quant(8, 8), _W4A16: Quant(4, 16)}
"""Tensor types of toolkit 1.0.x; the same numbers mean nothing known since 1.1."""
_KEYS_SINCE_11 = (
    "rkllm.version",
    "rkllm.core_num",
    "rkllm.max_context",
    "rkllm.model_name",
    "rkllm.has_embedding",
    "rkllm.has_tokenizer",
    "rkllm.lora_quant",
)
# Three numbers at least, and nothing that could belong to them behind: a file that lost its last
# two bytes would else pass for one of toolkit 1.2.
_TRAILER = re.compile(
    rb"rkllm-toolkit version: ?([0-9]{1,3}(?:\.[0-9]{1,3}){2,3}(?:b[0-9]{1,2})?)(?![0-9A-Za-z.])"
)
_INTEGERS = ("rkllm.platform", "general.file_type", "rkllm.core_num", "rkllm.max_context")
_SHOWN_CHARACTERS = 60


@dataclass(frozen=True, slots=True, kw_only=True)
class RkllmFacts:
    """What was read from a file; text is as the file has it, so escape it before showing it."""

    format: str
    """``rkllm``, or what it is instead: ``git-lfs-pointer``, ``html``, ``json``, ``text``,
    ``zeros``, ``gguf``, ``rknn``, ``empty``, ``truncated`` or ``unknown``."""
    explanation: str | None = None
    """What it is and what probably happened, in plain words; None for an ``.rkllm``."""
    size_bytes: int | None = None
    toolkit: Version | None = None
    toolkit_origin: Origin | None = None
    """`Origin.HEADER` for the key or for the layout of 1.0.x, `Origin.TRAILER` for the trailer."""
    toolkit_key: str | None = None
    """The key ``rkllm.version``, as written."""
    toolkit_trailer: str | None = None
    """The version in the file's last bytes, as written."""
    platform: Platform | None = None
    """None if not recorded, or recorded as a number whose meaning is not certain."""
    platform_code: int | None = None
    npu_cores: int | None = None
    max_context: int | None = None
    """The context limit in tokens that the file was built for, not the model's own."""
    architecture: str | None = None
    model_name: str | None = None
    """The Hugging Face class, where the architecture is only ``custom``."""
    file_type: int | None = None
    quant: Quant | None = None
    """None unless certain: most numbers of `file_type` were never published."""
    eos_type: str | None = None
    """Type of the end-of-sequence id: ``u32``, ``i32``, ``arr i32`` … Runtime 1.3.0 ignores
    ``u32``: https://github.com/airockchip/rknn-llm/issues/534."""
    complete: bool | None = None
    """True: proven whole; False: proven cut off or broken; None: cannot tell."""
    refused: str | None = None
    """What its header claims that cannot be; then `complete` is False."""
    all_keys_read: bool = False
    """Only then does a fact that is None mean that the file does not record it."""
    read_bytes: int = 0
    requests: int = 0
    not_read: tuple[str, ...] = ()
    """Facts that were wanted and not reached: unknown, which is not the same as absent."""
    problems: tuple[str, ...] = ()
    keys: Mapping[str, Any]
    """Every key that was read: its value, or for an array its element type, count and start."""

    @property
    def platform_text(self) -> str | None:
        """The platform for people; a number that only probably means one is shown as such."""
        if self.platform is not None:
            return self.platform.value
        if self.platform_code is None:
            return None
        probable = _PROBABLE_PLATFORMS.get(self.platform_code)
        meaning = f"{probable.name}?" if probable else "unknown"
        return f"{self.platform_code} ({meaning})"

    @property
    def quant_text(self) -> str | None:
        """The quantisation for people."""
        if self.quant is not None:
            return str(self.quant)
        return None if self.file_type is None else f"quantized, code {self.file_type}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Trailer:
    """The toolkit version in plain text at the end of a file."""

    text: str
    is_last: bool
    """Nothing but NUL and white space follows."""


def read_trailer(tail: bytes) -> Trailer | None:
    """Find the trailer in a file's last bytes; a torn one is none."""
    tail = tail[-TAIL_BYTES:]
    matches = list(_TRAILER.finditer(tail))
    if not matches:
        return None
    found = matches[-1]
    return Trailer(
        text=found[1].decode("ascii"), is_last=not tail[found.end() :].strip(b"\0 \t\r\n")
    )


def foreign_facts(
    foreign: Foreign, *, size_bytes: int | None, read_bytes: int, requests: int
) -> RkllmFacts:
    """Put what a file is instead into the shape of facts."""
    return RkllmFacts(
        format=foreign.format,
        explanation=foreign.explanation,
        size_bytes=size_bytes,
        complete=False if foreign.format in {"empty", "truncated"} else None,
        read_bytes=read_bytes,
        requests=requests,
        keys={},
    )


def is_satisfied(decoder: Decoder, trailer: Trailer | None, *, full: bool) -> bool:
    """Tell whether reading on would bring nothing that was asked for.

    A full reading wants every key and the tensor directory. A cheap one wants the keys of
    `WANTED`; the directory only where nothing else could tell the toolkit and whether the file
    is whole.
    """
    if decoder.done:
        return True
    if full:
        return False
    if decoder.keys_end is not None:
        return trailer is not None
    missing = [name for name, key in WANTED.items() if key not in decoder.entries]
    return not missing or (missing == ["toolkit"] and trailer is not None)


def tells_all(decoder: Decoder) -> bool:
    """Tell whether the keys alone tell every fact that a cheap reading is after."""
    return all(key in decoder.entries for key in WANTED.values())


def assemble(
    decoder: Decoder,
    *,
    trailer: Trailer | None,
    size_bytes: int | None,
    full: bool,
    read_bytes: int,
    requests: int,
    tail_read: bool = True,
) -> RkllmFacts:
    """Conclude from what was decoded; ``full`` says what had been wanted.

    Without the tail nothing is said about the file's end.
    """
    problems = _decoding_problems(decoder)
    is_10 = _is_layout_10(decoder, size_bytes, trailer)
    toolkit, origin = _toolkit(decoder, trailer, problems, is_10=is_10)
    code = decoder.integer("rkllm.platform")
    eos = decoder.entries.get(EOS_KEY)
    complete = None
    if tail_read or decoder.cut is not None or decoder.refusal is not None:
        complete = _completeness(decoder, size_bytes, trailer, problems, is_10=is_10)
    # Where not even the counts can be true, nothing but the magic speaks for an .rkllm.
    absurd = decoder.refusal if decoder.key_count is None else None
    return RkllmFacts(
        format="unknown" if absurd else "rkllm",
        explanation=f"a file that only begins like one: {absurd}" if absurd else None,
        size_bytes=size_bytes,
        toolkit=toolkit,
        toolkit_origin=origin,
        toolkit_key=decoder.string("rkllm.version"),
        toolkit_trailer=trailer.text if trailer else None,
        platform=_PLATFORMS.get(code) if code is not None else None,
        platform_code=code,
        npu_cores=_positive(decoder, "rkllm.core_num", problems),
        max_context=_positive(decoder, "rkllm.max_context", problems),
        architecture=decoder.string("general.architecture"),
        model_name=decoder.string("rkllm.model_name"),
        file_type=decoder.integer("general.file_type"),
        quant=_quant(decoder, is_10=is_10),
        eos_type=_type_text(eos) if eos else None,
        complete=complete,
        refused=decoder.refusal,
        all_keys_read=decoder.keys_end is not None,
        read_bytes=read_bytes,
        requests=requests,
        not_read=_not_read(decoder, toolkit, full=full),
        problems=tuple(problems),
        keys={key: _summary(entry) for key, entry in decoder.entries.items()},
    )


def _decoding_problems(decoder: Decoder) -> list[str]:
    problems = [text for text in (decoder.cut, decoder.refusal, decoder.unknown) if text]
    if decoder.duplicates:
        names = list(dict.fromkeys(decoder.duplicates))
        more = f" and {len(names) - 3} more" if len(names) > 3 else ""
        problems.append(f"written twice, the first value counts: {', '.join(names[:3])}{more}")
    problems += (
        f"{key} is no integer but {_type_text(decoder.entries[key])}: ignored"
        for key in _INTEGERS
        if key in decoder.entries and decoder.integer(key) is None
    )
    return problems


def _toolkit(
    decoder: Decoder, trailer: Trailer | None, problems: list[str], *, is_10: bool
) -> tuple[Version | None, Origin | None]:
    """Decide which toolkit made the file: by its key, else its trailer, else its layout."""
    written = decoder.string("rkllm.version")
    key = as_version(written) if written is not None else None
    end = as_version(trailer.text) if trailer else None
    if written is not None and key is None:
        problems.append(f"rkllm.version is '{written[:_SHOWN_CHARACTERS]}', which is no version")
    if key is not None and end is not None and key != end:
        problems.append(f"the keys name toolkit {key}, the trailer {end}")
    if key is not None:
        return key, Origin.HEADER
    if end is not None:
        return end, Origin.TRAILER
    if not is_10:
        return None, None
    # 1.0.0 records no platform. 1.0.2, a beta that was never seen, is taken to be like 1.0.1.
    recorded = "rkllm.platform" in decoder.entries
    return Version("1.0.1" if recorded else "1.0.0"), Origin.HEADER


def _positive(decoder: Decoder, key: str, problems: list[str]) -> int | None:
    value = decoder.integer(key)
    if value is not None and value <= 0:
        problems.append(f"{key} is {value}: ignored")
        return None
    return value


def _quant(decoder: Decoder, *, is_10: bool) -> Quant | None:
    if not is_10:
        # FP16 is the one code that was seen and published for 1.1 and later.
        return Quant(16, 16) if decoder.integer("general.file_type") == 1 else None
    # Toolkit 1.0.0 leaves general.file_type out for Qwen2; the matrices' own type is always there.
    types = {t.type for t in decoder.tensors if len(t.dims) > 1 and t.name != "token_embd.weight"}
    return _QUANTS_10.get(types.pop()) if len(types) == 1 else None


def _type_text(entry: Entry) -> str:
    return f"arr {entry.element}" if entry.type == "arr" else entry.type


def _not_read(decoder: Decoder, toolkit: Version | None, *, full: bool) -> tuple[str, ...]:
    wanted = WANTED_IN_FULL if full else WANTED
    if decoder.keys_end is None:
        missing = [name for name, key in wanted.items() if key not in decoder.entries]
    else:
        # Without a version, only the directory could have told whether it is a 1.0.x file.
        missing = [] if decoder.done else ["toolkit"]
    return tuple(name for name in missing if name != "toolkit" or toolkit is None)


def _summary(entry: Entry) -> object:
    if entry.type != "arr":
        return entry.value
    first = [v[:_SHOWN_CHARACTERS] if isinstance(v, str) else v for v in entry.first]
    return {"element": entry.element, "count": entry.count, "first": first}


def _completeness(
    decoder: Decoder,
    size_bytes: int | None,
    trailer: Trailer | None,
    problems: list[str],
    *,
    is_10: bool,
) -> bool | None:
    if decoder.cut is not None or decoder.refusal is not None:
        return False
    shortage = _shortage(decoder, size_bytes)
    if shortage is not None:
        problems.append(shortage)
        return None if trailer else False
    if is_10:
        return True
    doubt = _doubt(decoder, trailer)
    if doubt is not None:
        problems.append(doubt)
    return True if doubt is None and decoder.unknown is None else None


def _doubt(decoder: Decoder, trailer: Trailer | None) -> str | None:
    """Say why the end of a file leaves open whether it is whole; None if it does not."""
    if trailer is None:
        return _no_trailer(decoder)
    if not trailer.is_last:
        return "the trailer is not the last thing in the file, which may be damaged"
    key = decoder.string("rkllm.version")
    if key is not None and key != trailer.text and key.startswith(trailer.text):
        return "the trailer's version is shorter than the key's, may be incomplete"
    return None


def _no_trailer(decoder: Decoder) -> str:
    if decoder.keys_end is None or any(key in decoder.entries for key in _KEYS_SINCE_11):
        return "no trailer found, may be incomplete"
    return (
        "no trailer found, and not the size of a 1.0.x file:"
        " may be incomplete, or made by toolkit 1.1.0 to 1.1.3"
    )


def _shortage(decoder: Decoder, size_bytes: int | None) -> str | None:
    """Say how much a file lacks by its own directory; None if nothing.

    Since 1.1 the offsets of matrices are too small, never too large, so that a tensor beyond the
    end says something in every version.
    """
    if size_bytes is None or decoder.data_start is None or not decoder.tensors:
        return None
    need = _end_10(decoder)
    if need is None:
        ends = (t.offset + (_plain_bytes(t) or 0) for t in decoder.tensors)
        need = decoder.data_start + max(ends)
    if size_bytes >= need:
        return None
    return f"the file ends {need - size_bytes} bytes before its tensors do: {size_bytes} of {need}"


def _is_layout_10(decoder: Decoder, size_bytes: int | None, trailer: Trailer | None) -> bool:
    """Tell whether this is a whole file of toolkit 1.0.x: they have no version anywhere."""
    if trailer is not None or decoder.refusal or decoder.unknown or not decoder.tensors:
        return False
    if any(key in decoder.entries for key in _KEYS_SINCE_11):
        return False
    return size_bytes is not None and _end_10(decoder) == size_bytes


def _end_10(decoder: Decoder) -> int | None:
    """Return where a file ends whose tensors lie one after the other, as in 1.0.x; else None."""
    if decoder.data_start is None:
        return None
    end = 0
    for tensor in decoder.tensors:
        size = _bytes_10(tensor)
        if size is None or tensor.offset != -(-end // DEFAULT_ALIGNMENT) * DEFAULT_ALIGNMENT:
            return None
        end = tensor.offset + size
    return decoder.data_start + end


def _plain_bytes(tensor: Tensor) -> int | None:
    """Return the size of a tensor of ordinary numbers: f32 or f16."""
    count = 1
    for dim in tensor.dims:
        count *= dim
    return {0: 4 * count, 1: 2 * count}.get(tensor.type)


def _bytes_10(tensor: Tensor) -> int | None:
    """Return the size of a tensor of toolkit 1.0.x: quantized rows carry four bytes each."""
    if tensor.type not in {_W8A8, _W4A16}:
        return _plain_bytes(tensor)
    if len(tensor.dims) != 2:
        return None
    width, rows = tensor.dims
    weights = width * rows
    return (weights if tensor.type == _W8A8 else weights // 2) + 4 * rows


def facts_evidence(
    facts: RkllmFacts, *, place: str, seen: str | None = None
) -> tuple[Evidence, ...]:
    """Turn facts into evidence; only what the file says for certain becomes any.

    Key and trailer each give evidence of the toolkit, so that a contradiction stays visible.
    ``place`` says where the file is; ``seen`` is an RFC 3339 time.
    """
    if facts.format != "rkllm":
        return ()
    header: dict[str, object] = {
        "platform": facts.platform.value if facts.platform else None,
        "context": facts.max_context,
        "npu_cores": facts.npu_cores,
        "quant": facts.quant,
        "architecture": facts.architecture,
    }
    found = [*_toolkit_evidence(facts)]
    found += [(name, str(v), Origin.HEADER) for name, v in header.items() if v is not None]
    return tuple(
        Evidence(attribute=name, value=value, origin=origin, place=place, seen=seen)
        for name, value, origin in found
    )


def _toolkit_evidence(facts: RkllmFacts) -> list[tuple[str, str, Origin]]:
    key = facts.toolkit if facts.toolkit_origin is Origin.HEADER else None
    end = as_version(facts.toolkit_trailer) if facts.toolkit_trailer else None
    pairs = ((key, Origin.HEADER), (end, Origin.TRAILER))
    return [("toolkit", str(version), origin) for version, origin in pairs if version is not None]
