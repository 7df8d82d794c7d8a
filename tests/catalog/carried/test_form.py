"""The list of an export: what is written is read again, and what cannot be is refused."""

from __future__ import annotations

import json
import unicodedata
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from rkfetch.catalog.carried.form import bad_path, read_manifest, sums, write_manifest
from rkfetch.catalog.published.reading import FormError
from rkfetch.registry.errors import IntegrityError
from rkfetch.registry.record import safe_file_name
from stored import record

if TYPE_CHECKING:
    from collections.abc import Callable

    from carrying import Machine

SHA = "a" * 64


def file(role: str, path: str, sha256: str = SHA, size: int = 10, **more: Any) -> dict[str, Any]:
    return {"role": role, "path": path, "bytes": size, "sha256": sha256, **more}


def model(path: str = "m/x.rkllm", sha256: str = SHA, *others: dict[str, Any]) -> dict[str, Any]:
    said = {**record(b"x").as_json(), "sha256": sha256, "bytes": 10}
    return {"files": [file("model", path, sha256, record=said), *others]}


def encoder(path: str = "m/v.rknn", sha256: str = "b" * 64) -> dict[str, Any]:
    said = {**record(b"x").as_json(), "sha256": sha256, "bytes": 10}
    return file("vision", path, sha256, record=said)


def listed(*models: dict[str, Any], **more: Any) -> bytes:
    what = {"format": "rkfetch-export", "version": 1, "rkfetch": "1", "models": models, **more}
    return json.dumps(what).encode()


def test_what_is_written_is_read_again(pc: Machine) -> None:
    export = pc.load(pc.add_pair()).export
    assert read_manifest(write_manifest(export)) == export
    (said,) = export.models
    assert [f.role for f in said.files] == ["vision", "model", "tokenizer", "config", "licence"]


def test_a_role_of_a_newer_rkfetch_is_left_out() -> None:
    (said,) = read_manifest(listed(model("m/x.rkllm", SHA, file("lora", "m/l.bin")))).models
    assert [f.role for f in said.files] == ["model"]


def test_nothing_of_the_makers_machine_is_in_a_record(pc: Machine) -> None:
    chosen = pc.add(
        source="import", repo="", path="/home/me/secret/x.rkllm", endpoint="http://nas.local"
    )
    written = write_manifest(pc.load(chosen).export)
    assert b"/home/me" not in written
    assert b"nas.local" not in written


BAD: list[tuple[str, bytes]] = [
    ("no JSON", b"{"),
    ("another format", b'{"format": "x"}'),
    ("no models", listed()),
    ("a model without a file", listed({"files": []})),
    ("two files", listed(model("a/x.rkllm", SHA, *model("a/y.rkllm", "c" * 64)["files"]))),
    ("twice", listed(model("a/x.rkllm"), model("b/x.rkllm"))),
    ("one path", listed(model("a/x.rkllm"), model("a/x.rkllm", "c" * 64))),
    ("only case", listed(model("a/x.rkllm"), model("a/X.rkllm", "c" * 64))),
    ("folders in case", listed(model("a/x.rkllm"), model("A/y.rkllm", "c" * 64))),
    ("a file as a folder", listed(model("a/x.rkllm"), model("a/x.rkllm/y.rkllm", "c" * 64))),
    ("another ending", listed(model("a/x.bin"))),
    ("an encoder's ending", listed(model("m/x.rkllm", SHA, encoder("m/v.exe")))),
    ("itself", listed(model("m/x.rkllm", SHA, encoder("m/v.rknn", SHA)))),
    ("a record of another", listed(model() | {"files": [file("model", "a.rkllm", record={})]})),
    ("no digest", listed(model("a/x.rkllm", "a" * 63))),
    ("a large note", listed(model("m/x.rkllm", SHA, file("config", "m/c.json", size=1 << 40)))),
    ("catalog elsewhere", listed(model(), catalog=[file("catalog", "m/catalog.json")])),
    ("a name twice", listed(model("m/x.rkllm", SHA, *(file("config", f"{d}/c") for d in "ab")))),
]


@pytest.mark.parametrize("content", [c for _, c in BAD], ids=[n for n, _ in BAD])
def test_what_cannot_be_is_refused(content: bytes) -> None:
    with pytest.raises(FormError):
        read_manifest(content)


def test_a_newer_form_says_so() -> None:
    with pytest.raises(IntegrityError, match="does not know") as error:
        read_manifest(listed(model(), version=2))
    assert error.value.hint is not None
    assert "upgrade" in error.value.hint


@pytest.mark.parametrize(
    "path",
    [
        *("", "/etc/passwd", "../x.rkllm", "a/../../x.rkllm", "a//x", "./x", "a/.", "C:x", "a\\b"),
        *("a\n.rkllm", "a\x00", "\u202eabc", "con.rkllm", "a/LPT1.x", "a.", " a", "a ", "-rf"),
        *("README.txt", "sha256sums", "RKFETCH-export.json", "readme.TXT/x.rkllm", "catalog"),
        *("x" * 500, "/".join("abcdefghij"), "a:b", "a*b", "\ud800"),
    ],
)
def test_a_path_that_is_none_everywhere(path: str) -> None:
    assert bad_path(path) is not None


@given(st.text(max_size=60))
@example("a\u00a0b.rkllm")
@example("\u3000")
def test_a_path_that_passes_is_harmless(path: str) -> None:
    if bad_path(path) is None:
        assert not path.startswith("/")
        for part in path.split("/"):
            assert part not in {"", ".", ".."}
            # Wide blanks, as in Chinese names, are no letters and no control characters either.
            assert all(c.isprintable() or unicodedata.category(c) == "Zs" for c in part)
            assert safe_file_name(part, longest=255) == part


JSON: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=8) | st.sampled_from([SHA, "m/x"]),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(["role", "path", "bytes", "record"]), inner, max_size=4)
    ),
    max_leaves=8,
)


@given(st.data())
def test_whatever_is_put_into_a_list_it_is_read_or_refused(data: st.DataObject) -> None:
    """One value anywhere in a good list is replaced by anything."""
    what = json.loads(listed(model("m/x.rkllm", SHA, encoder(), file("config", "m/c.json"))))
    places: list[tuple[Any, Any]] = []

    def walk(here: Any, visit: Callable[[Any, Any], None]) -> None:
        keys = here.keys() if isinstance(here, dict) else range(len(here))
        for key in keys:
            visit(here, key)
            if isinstance(here[key], (dict, list)):
                walk(here[key], visit)

    walk(what, lambda here, key: places.append((here, key)))
    here, key = data.draw(st.sampled_from(places))
    here[key] = data.draw(JSON)
    try:
        export = read_manifest(json.dumps(what).encode())
    except (FormError, IntegrityError):
        return
    paths = [f.path for f in export.files]
    assert len({p.casefold() for p in paths}) == len(paths)
    assert all(bad_path(p) is None for p in paths)
    assert all(len(f.sha256) == 64 and 0 <= f.size_bytes < 1 << 63 for f in export.files)
    read_manifest(write_manifest(export))


@given(st.binary(max_size=200))
def test_any_bytes_are_refused_politely(content: bytes) -> None:
    with pytest.raises((FormError, IntegrityError)):
        read_manifest(content)


def test_sums_are_as_sha256sum_reads_them() -> None:
    assert sums([("a/b", SHA)]) == f"{SHA}  a/b\n".encode()
