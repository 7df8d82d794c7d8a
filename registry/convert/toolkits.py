"""Which releases of rkllm-toolkit there are, what each needs, takes and supports, as data.

The wheels are in Rockchip's own git repository and on no package index: ``rkllm-toolkit`` does not
exist on PyPI, and ``rkllm`` there is another program. A wheel is known by its git blob id in the
tree of its release tag (https://github.com/airockchip/rknn-llm), and by SHA-256 where one was
published or computed.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from rkfetch.registry.versions import Version

if TYPE_CHECKING:
    from collections.abc import Mapping

REPOSITORY = "https://github.com/airockchip/rknn-llm"
PYTHONS = ("3.11", "3.10", "3.12", "3.9", "3.8")
"""Best first: 3.12 has to build auto_gptq from its source, and 3.9 and 3.8 are at their end."""

_SHA256 = {
    # Computed from the blob in the tree of its tag.
    ("1.0.1", "3.8"): "36880ff8e12844c60d6e3d876cf9cef40de3a0bb9000a0a1c6a1819ff00ee857",
    # thanhtantran/rkllm-toolkit-cli pins it.
    ("1.2.0", "3.10"): "b73f0523d4b34914e36fbdb21a6edb06e5cba3d7a9bf7f3c2c76888cbb577deb",
    # A third party's model card; the release is in no tree that was read.
    ("1.3.1", "3.12"): "ba4191cd50ec6a555367df3d6a88f5827e918210d2f209a84774301427fa0add",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Wheel:
    """One file of a release, for one version of Python."""

    toolkit: Version
    python: str
    """``3.11``."""
    blob: str | None
    """SHA-1 that git gives its content (``blob <size>``, NUL, content)."""
    sha256: str | None
    url: str | None
    """At its tag; None where only its digest is known."""

    @property
    def name(self) -> str:
        """The file's name, which pip insists on."""
        tag = "cp" + self.python.replace(".", "")
        return f"rkllm_toolkit-{self.toolkit}-{tag}-{tag}-linux_x86_64.whl"


@dataclass(frozen=True, slots=True, kw_only=True)
class Toolkit:
    """One release."""

    version: Version
    wheels: tuple[Wheel, ...]
    """Best Python first."""
    torch: tuple[str, ...] = ()
    """Its pins of torch and torchvision, where they are known."""
    unusable: Mapping[str, str] = field(default_factory=dict)
    """By Python: why its wheel for that cannot be installed."""

    @property
    def pythons(self) -> tuple[str, ...]:
        """Versions of Python that it can be installed on, best first."""
        return tuple(w.python for w in self.wheels if w.python not in self.unusable)

    def wheel(self, python: str) -> Wheel | None:
        """Return the file for a version of Python, which can be installed there."""
        found = (w for w in self.wheels if w.python == python and python in self.pythons)
        return next(found, None)

    @property
    def is_public(self) -> bool:
        """Whether its wheels can be fetched; of others only a digest is known."""
        return any(w.url is not None for w in self.wheels)

    @property
    def has_algorithm(self) -> bool:
        """``load_gguf``, ``quantized_algorithm``, ``dataset`` and more came with 1.1.0."""
        return self.version >= Version("1.1.0")

    @property
    def has_context(self) -> bool:
        """``max_context`` and load types other than float32 came with 1.2.0."""
        return self.version >= Version("1.2.0b0")


def _toolkit(
    version: str,
    *,
    blobs: Mapping[str, str],
    folder: str = "rkllm-toolkit/packages",
    torch: tuple[str, ...] = (),
    unusable: Mapping[str, str] | None = None,
) -> Toolkit:
    wheels = []
    for python in sorted(blobs, key=PYTHONS.index):
        wheel = Wheel(
            toolkit=Version(version),
            python=python,
            blob=blobs[python] or None,
            sha256=_SHA256.get((version, python)),
            url=None,
        )
        if wheel.blob is not None:
            url = f"{REPOSITORY}/raw/release-v{version}/{folder}/{wheel.name}"
            wheel = replace(wheel, url=url)
        wheels.append(wheel)
    return Toolkit(
        version=Version(version), wheels=tuple(wheels), torch=torch, unusable=unusable or {}
    )


TOOLKITS: tuple[Toolkit, ...] = (
    _toolkit(
        "1.0.1",
        torch=("torch==1.12.0",),
        blobs={
            "3.8": "0f6cd35b314121c5a466b18548994dba56657759",
        },
    ),
    _toolkit(
        "1.1.0",
        blobs={
            "3.8": "248c761b36e95d0e03539aa82c27e152a736d140",
        },
    ),
    _toolkit(
        "1.1.1",
        blobs={
            "3.8": "5a1cd5e0a821d119724d9c74100fbaacf6fef44e",
            "3.10": "e4d5cfa26234b108a47b0e38a11db7a715858a18",
        },
    ),
    _toolkit(
        "1.1.2",
        blobs={
            "3.8": "4fe572ce8b3b9de359427a061bf980a2644aa2d1",
            "3.10": "ad0525cf28d8383b0d56ea7b2ffeeba5c9c437e0",
        },
    ),
    _toolkit(
        "1.1.3",
        blobs={
            "3.8": "9fd6bd2cae6044738aedeb7fa91c3fbee7dff68c",
            "3.10": "eb1d04bc6c27154e48a2c7663748cd58e57f5ab4",
        },
    ),
    _toolkit(
        "1.1.4",
        blobs={
            "3.8": "bf2baafa4e2645faa538286ce0dfc53577d6cb87",
            "3.10": "d50bd00ee433e3ac572427bf4e2f81a336e6cefe",
        },
    ),
    _toolkit(
        "1.2.0",
        folder="rkllm-toolkit",
        torch=("torch==2.3.0", "torchvision==0.18.0"),
        blobs={
            "3.8": "df6fd116b9973d4b1ff06a67cb64335b3da910fc",
            "3.9": "c9b8df59635818334e46605bca466e7f1dc13ee0",
            "3.10": "954fa1e47ae7e84ce3502719c850a7295e5760e7",
            "3.11": "d212a586cb219fddbc22a3195e5072c4f44e913a",
            "3.12": "4c3a28ed0c841024ebdec7cd4fe79ca8c17e4879",
        },
    ),
    _toolkit(
        "1.2.1b1",
        folder="rkllm-toolkit",
        blobs={
            "3.8": "3927ea1cafa57f4cc787dda515f49821a8279688",
            "3.9": "daed56b9587952b52f8aea107634a633538933d5",
            "3.10": "8222e281f5110edb1b033c35832d68ae163a40ef",
            "3.11": "7602b8cc113187b53a9675e6b9bd8f32f1e42292",
            "3.12": "43f91bd32ae1758bf7f06d92e45ec59c039890b1",
        },
    ),
    _toolkit(
        "1.2.1",
        folder="rkllm-toolkit",
        blobs={
            "3.8": "2a6b8001811e413a0a40cc71dff28d22e7c82663",
            "3.9": "7b5096077f563b66268924bfbf1f2e68275c3351",
            "3.10": "6339771d231746a1fc4458dd5e83e3165eabc74e",
            "3.11": "67b807380add8c4baeda6e5f3bac0773f78ac537",
            "3.12": "d9e071ecc5b73b715ce6554bcf8851eb849dfc24",
        },
    ),
    _toolkit(
        "1.2.2",
        torch=("torch==2.6.0", "torchvision==0.21.0"),
        blobs={
            "3.8": "f8e8a0d6d2f57d0a7a6385896a2e3c0107e9b991",
            "3.9": "66f1a626e0613df2082f8f4ef918756bedb7a20e",
            "3.10": "e7791e5c75a3d853e8d1b8184b7a16fd2a53b914",
            "3.11": "e2397de89b8435a8d93bc23e7e4dcca444259af9",
            "3.12": "50ad4922e96005858e26f6a8cc048dc5bf91a1ca",
        },
        unusable={"3.8": "its pin of transformers 4.55.2 needs Python 3.9"},
    ),
    _toolkit(
        "1.2.3",
        torch=("torch==2.6.0", "torchvision==0.21.0"),
        blobs={
            "3.9": "adb91fa6ad5d53e9d89d8d387e1284ae4d4007d3",
            "3.10": "660103dd5f3410c74812ee199b83b27d5e50380d",
            "3.11": "0e20ab81597a110dcfaebb3958c125a8a41aee21",
            "3.12": "8fb0b8db3f380b9f2b4829b94c2d0678c2bc0703",
        },
    ),
    _toolkit(
        "1.3.0",
        torch=("torch==2.6.0", "torchvision==0.21.0"),
        blobs={
            "3.9": "c5d68f1d610955e7ce740826c6247dda5124576d",
            "3.10": "2604894f6b04246b0ae1d11eeeb033f30109767b",
            "3.11": "d14b65a0cc443ea4493d9d78992e9c02e690df39",
            "3.12": "b764c705e99c3c266907cc115c1ea256a48503c1",
        },
        unusable={"3.9": "its pin of transformers 5.8.0 needs Python 3.10"},
    ),
    _toolkit("1.3.1", blobs={"3.12": ""}),
)
"""Oldest first. Blob ids as in the vendor's trees; pins of torch from its METADATA or
requirements.txt (1.2.2 on), and of 1.2.0 from pip's log in a public thread."""


def toolkit(version: Version) -> Toolkit | None:
    """Return a release; None for one that is not known."""
    return next((t for t in TOOLKITS if t.version == version), None)
