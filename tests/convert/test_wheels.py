"""The vendor's wheel: fetched from its tag or given by the user, and always the right one."""

from __future__ import annotations

import hashlib
import threading
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from convert.shelf import Shelf, make_wheel
from rkfetch.registry.convert.environment import Unwatched
from rkfetch.registry.convert.toolkits import REPOSITORY, Toolkit, Wheel
from rkfetch.registry.convert.wheels import WheelFile, accepted_wheel, have_wheel, release_of
from rkfetch.registry.errors import (
    ConversionUnavailableError,
    IntegrityError,
    NetworkError,
    OfflineError,
    UsageError,
)
from rkfetch.registry.http import Http, RetryPolicy
from rkfetch.registry.versions import Version

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

PATH = "/raw/release-v9.9.9/rkllm-toolkit/packages/rkllm_toolkit-9.9.9-cp311-cp311-linux_x86_64.whl"
CONTENT = b"what the vendor published" * 1000


def pinned(content: bytes = CONTENT) -> Wheel:
    git = hashlib.sha1(b"blob %d\0" % len(content) + content)
    return Wheel(
        toolkit=Version("9.9.9"),
        python="3.11",
        blob=git.hexdigest(),
        sha256=hashlib.sha256(content).hexdigest(),
        url=REPOSITORY + PATH,
    )


def of_the_vendor(folder: Path, version: str, python: str) -> WheelFile:
    return WheelFile(
        path=folder / "x.whl",
        toolkit=Version(version),
        python=python,
        name="x.whl",
        sha256="0" * 64,
        blob="0" * 40,
        pinned=True,
    )


@pytest.fixture
def vendor(monkeypatch: pytest.MonkeyPatch) -> Iterator[Shelf]:
    """GitHub: it leads to another host, which has the bytes."""
    with Shelf() as raw, Shelf() as github:
        monkeypatch.setenv("RKFETCH_TOOLKIT_URL", f"{github.url}/mirror/rknn-llm/")
        github.laid["/mirror/rknn-llm" + PATH] = f"{raw.url}/content"
        raw.laid["/content"] = CONTENT
        raw.laid["github"] = github.url
        yield raw


def have(wheel: Wheel, folder: Path, *, offline: bool = False) -> Path:
    policy = RetryPolicy(attempts=2, first_wait_s=0.01)
    with Http(offline=offline, retries=policy) as http:
        found = have_wheel(wheel, folder, http=http, watch=Unwatched())
    assert found.sha256 == hashlib.sha256(found.path.read_bytes()).hexdigest()
    assert found.pinned
    return found.path


class TestFetched:
    def test_it_is_fetched_once_by_way_of_the_redirect(self, vendor: Shelf, tmp_path: Path) -> None:
        path = have(pinned(), tmp_path / "wheels")
        assert path.name == "rkllm_toolkit-9.9.9-cp311-cp311-linux_x86_64.whl"
        assert path.read_bytes() == CONTENT
        assert have(pinned(), tmp_path / "wheels", offline=True) == path
        assert vendor.asked == ["/content"]
        assert [p.name for p in path.parent.iterdir()] == [path.name]

    @pytest.mark.parametrize("blob", [True, False])
    def test_either_digest_alone_decides(self, vendor: Shelf, tmp_path: Path, blob: bool) -> None:
        def alone(wheel: Wheel) -> Wheel:
            return replace(wheel, sha256=None) if blob else replace(wheel, blob=None)

        assert have(alone(pinned()), tmp_path).read_bytes() == CONTENT
        with pytest.raises(IntegrityError):
            have(alone(pinned(b"another")), tmp_path / "other")

    @pytest.mark.parametrize("wrong", ["blob", "sha256"])
    def test_both_have_to_be_right(self, vendor: Shelf, tmp_path: Path, wrong: str) -> None:
        digest = getattr(pinned(b"another"), wrong)
        with pytest.raises(IntegrityError, match="not the file that Rockchip published") as caught:
            have(replace(pinned(), **{wrong: digest}), tmp_path)
        assert "--toolkit-wheel" in (caught.value.hint or "")
        assert list(tmp_path.glob("*.whl*")) == []

    def test_nothing_is_vouched_for_without_a_digest(self, vendor: Shelf, tmp_path: Path) -> None:
        with pytest.raises(IntegrityError):
            have(replace(pinned(), blob=None, sha256=None), tmp_path)

    def test_what_was_kept_is_checked_again(self, vendor: Shelf, tmp_path: Path) -> None:
        path = have(pinned(), tmp_path)
        path.write_bytes(CONTENT[:-1] + b"!")
        with pytest.raises(OfflineError, match=r"rkllm_toolkit-9\.9\.9-cp311") as caught:
            have(pinned(), tmp_path, offline=True)
        assert "--toolkit-wheel" in (caught.value.hint or "")
        assert have(pinned(), tmp_path).read_bytes() == CONTENT

    def test_a_failing_server_is_asked_again_and_then_named(
        self, vendor: Shelf, tmp_path: Path
    ) -> None:
        vendor.laid["/content"] = 503
        with pytest.raises(NetworkError, match="answered 503") as caught:
            have(pinned(), tmp_path)
        assert "RKFETCH_TOOLKIT_URL" in (caught.value.hint or "")
        assert len(vendor.asked) == 2
        vendor.laid["/content"] = 404
        with pytest.raises(NetworkError, match="answered 404"):
            have(pinned(), tmp_path)
        assert len(vendor.asked) == 3

    def test_two_at_once_fetch_it_once(self, vendor: Shelf, tmp_path: Path) -> None:
        found: list[Path] = []
        threads = [
            threading.Thread(target=lambda: found.append(have(pinned(), tmp_path)))
            for _ in range(4)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert len(found) == 4
        assert len(vendor.asked) == 1

    def test_one_without_a_place_is_only_taken_from_the_user(self, tmp_path: Path) -> None:
        with pytest.raises(ConversionUnavailableError) as caught:
            have(replace(pinned(), url=None), tmp_path)
        assert "--toolkit-wheel FILE" in (caught.value.hint or "")


class TestGiven:
    def test_a_known_digest_is_enough_whatever_the_name(self, tmp_path: Path) -> None:
        path = tmp_path / "download (1).bin"
        path.write_bytes(CONTENT)
        known = Toolkit(version=Version("9.9.9"), wheels=(pinned(),))
        found = accepted_wheel(path, [known])
        assert (found.pinned, found.toolkit, found.python) == (True, Version("9.9.9"), "3.11")
        (tmp_path / "context").mkdir()
        placed = found.place(tmp_path / "context")
        assert placed.name == "rkllm_toolkit-9.9.9-cp311-cp311-linux_x86_64.whl"
        path.write_bytes(b"replaced meanwhile")
        with pytest.raises(IntegrityError):
            found.place(tmp_path / "context")

    def test_an_unknown_one_is_refused_and_taken_on_demand(self, tmp_path: Path) -> None:
        tag = "cp312-cp312-linux_x86_64"
        made = make_wheel(tmp_path, "rkllm-toolkit", "1.4.0", files={}, tag=tag)
        path = made.rename(tmp_path / "x.zip")
        with pytest.raises(IntegrityError, match="no wheel that rkfetch knows") as caught:
            accepted_wheel(path)
        sha256 = hashlib.sha256(path.read_bytes()).hexdigest()
        assert sha256 in "".join(caught.value.cause)
        assert "rkllm-toolkit 1.4.0 for Python 3.12" in caught.value.cause[0]
        assert "--allow-unknown-toolkit" in (caught.value.hint or "")
        found = accepted_wheel(path, allow_unknown=True)
        assert (found.pinned, found.name, found.sha256) == (False, made.name, sha256)

    @pytest.mark.parametrize(
        ("name", "version", "tag"),
        [
            ("rkllm", "1.1.0", "cp311-cp311-linux_x86_64"),
            ("rkllm-toolkit", "one", "cp311-cp311-linux_x86_64"),
            ("rkllm-toolkit", "1.4.0", "cp37-cp37m-linux_x86_64"),
        ],
    )
    def test_another_package_is_never_taken(
        self, tmp_path: Path, name: str, version: str, tag: str
    ) -> None:
        path = make_wheel(tmp_path, name, version, files={}, tag=tag)
        with pytest.raises(IntegrityError):
            accepted_wheel(path, allow_unknown=True)

    @pytest.mark.parametrize("content", [b"", b"PK\x03\x04 no", b"<html>"])
    def test_what_is_no_wheel_is_said(self, tmp_path: Path, content: bytes) -> None:
        path = tmp_path / "x.whl"
        path.write_bytes(content)
        with pytest.raises(IntegrityError, match="is no wheel"):
            accepted_wheel(path, allow_unknown=True)

    def test_its_release_is_known_with_pins_but_only_if_it_is_the_vendors(
        self, tmp_path: Path
    ) -> None:
        """By its pin PyTorch for the CPU is installed first, which saves gigabytes."""
        file = of_the_vendor(tmp_path, "1.2.3", "3.11")
        known = release_of(file)
        assert (known.torch[0], known.pythons) == ("torch==2.6.0", ("3.11",))
        assert release_of(replace(file, pinned=False)).torch == ()

    def test_one_that_its_own_pins_rule_out_is_refused(self, tmp_path: Path) -> None:
        file = of_the_vendor(tmp_path, "1.3.0", "3.9")
        with pytest.raises(UsageError, match="cannot be installed") as caught:
            release_of(file)
        assert caught.value.cause == ("its pin of transformers 5.8.0 needs Python 3.10",)

    def test_a_missing_file_is_a_wrong_use(self, tmp_path: Path) -> None:
        with pytest.raises(UsageError, match="cannot be read"):
            accepted_wheel(tmp_path / "none.whl")
