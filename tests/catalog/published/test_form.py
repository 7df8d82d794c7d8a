"""Whatever stands where a manifest, a part or a row should be: it is read, or refused in words."""

from __future__ import annotations

import hashlib
import json
from contextlib import suppress
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rkfetch.catalog.published.form import (
    Change,
    Manifest,
    Part,
    pack,
    read_manifest,
    unpack,
    write_manifest,
)
from rkfetch.catalog.published.reading import FormError
from rkfetch.catalog.published.rows import (
    artifact_line,
    gone_line,
    read_row,
    repository_line,
)
from rkfetch.registry.errors import IntegrityError

from .conftest import build, listed

if TYPE_CHECKING:
    from collections.abc import Callable

digests = st.binary(min_size=32, max_size=32).map(bytes.hex)
sizes = st.integers(0, 4 << 20)
parts = st.builds(Part, sha256=digests, size_bytes=sizes, unpacked_bytes=sizes)
few_parts = st.lists(parts, max_size=4).map(tuple)
serials = st.integers(0, (1 << 63) - 1)
times = st.datetimes().map(lambda t: t.strftime("%Y-%m-%dT%H:%M:%SZ").rjust(20, "0"))
manifests = st.builds(
    Manifest,
    name=st.text("abc äß→", min_size=1, max_size=20),
    serial=serials,
    date=times,
    expires=st.none() | times,
    rows=serials,
    sources=st.dictionaries(st.sampled_from(["huggingface", "modelscope"]), times),
    parts=few_parts,
    changes=st.lists(
        st.builds(Change, since=serials, until=serials, parts=few_parts), max_size=4
    ).map(tuple),
)
plain: st.SearchStrategy[Any] = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(max_size=30)
    | st.sampled_from(["../x", "a" * 5000, "\x1b[2J", "\ud800", 1 << 64, -1]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=9), inner),
    max_leaves=6,
)
VALID_ROWS = [
    repository_line(listed(tags=("a",)))[1],
    artifact_line(build(1), ())[1],
    gone_line(artifact_line(build(1), ())[1]),
]


def read_or_refuse(read: Callable[[bytes], object], content: bytes) -> None:
    with suppress(FormError, IntegrityError):
        read(content)


def harmed(draw: st.DrawFn, what: Any) -> Any:
    """Replace something inside by something else."""
    if isinstance(what, dict) and what and draw(st.booleans()):
        name = draw(st.sampled_from(sorted(what)))
        return {**what, name: harmed(draw, what[name])}
    if isinstance(what, list) and what and draw(st.booleans()):
        return [harmed(draw, what[0]), *what[1:]]
    return draw(plain)


@given(manifests)
def test_a_manifest_says_what_was_written(manifest: Manifest) -> None:
    assert read_manifest(write_manifest(manifest)) == manifest


@given(st.data(), manifests)
def test_a_harmed_manifest_is_read_or_refused(data: st.DataObject, manifest: Manifest) -> None:
    what = data.draw(st.composite(harmed)(json.loads(write_manifest(manifest))))
    read_or_refuse(read_manifest, json.dumps(what).encode("utf-8", "surrogatepass"))


@given(st.binary(max_size=200))
def test_rubbish_is_no_manifest_and_no_row(content: bytes) -> None:
    with pytest.raises(FormError):
        read_manifest(content)
    with pytest.raises(FormError):
        read_row(content)


@pytest.mark.parametrize("content", [b"[" * 100_000, b"1" * 9999, b'{"a":' * 50_000, b"\xff\xfe{"])
def test_json_that_breaks_parsers_is_refused(content: bytes) -> None:
    with pytest.raises(FormError, match="it is no JSON"):
        read_manifest(content)
    with pytest.raises(FormError, match="it is no JSON"):
        read_row(content)


@given(st.data(), st.sampled_from(VALID_ROWS))
def test_a_harmed_row_is_read_or_refused(data: st.DataObject, line: bytes) -> None:
    what = data.draw(st.composite(harmed)(json.loads(line)))
    read_or_refuse(read_row, json.dumps(what).encode("utf-8", "surrogatepass"))


def test_what_a_newer_rkfetch_may_say_is_no_reason_to_refuse() -> None:
    row = json.loads(VALID_ROWS[1])
    row["evidence"].append({"attribute": "colour", "value": "x", "origin": "dream", "place": "y"})
    read = read_row(json.dumps({**row, "colour": "blue"}).encode())
    assert read == read_row(VALID_ROWS[1])
    odd = read_row(json.dumps({"kind": "song", "source": "huggingface", "repo": "A/B"}).encode())
    assert (odd.artifact, odd.repository, odd.is_gone) == (None, None, False)


def test_a_gone_row_has_the_key_of_the_row() -> None:
    for line in VALID_ROWS[:2]:
        assert read_row(gone_line(line)).key == read_row(line).key


@given(st.lists(st.binary(max_size=50).filter(lambda line: b"\n" not in line)))
def test_a_part_gives_back_its_lines_and_the_same_bytes(lines: list[bytes]) -> None:
    part, packed = pack(lines)
    assert unpack(part, packed) == lines
    assert pack(lines) == (part, packed)


@settings(max_examples=200)
@given(st.data())
def test_a_part_with_a_changed_byte_is_refused(data: st.DataObject) -> None:
    part, packed = pack([b"one", b"two" * 50])
    at = data.draw(st.integers(0, len(packed) - 1))
    changed = bytearray(packed)
    changed[at] ^= data.draw(st.integers(1, 255))
    with pytest.raises(FormError, match="not those that the manifest names"):
        unpack(part, bytes(changed))
    # And if the manifest names just that, what comes out is bounded by what it promises.
    named = Part(
        sha256=hashlib.sha256(changed).hexdigest(),
        size_bytes=len(changed),
        unpacked_bytes=part.unpacked_bytes,
    )
    try:
        lines = unpack(named, bytes(changed))
    except FormError:
        return
    assert sum(len(line) + 1 for line in lines) == part.unpacked_bytes
