"""What a person insists on in a search, beyond the words.

A filter leaves out only what is known to differ: a build of which the attribute is not known stays.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from rkfetch.registry.errors import UsageError

from .order import toolkit_text

if TYPE_CHECKING:
    from packaging.specifiers import SpecifierSet

    from rkfetch.registry.model import Artifact, Platform, Quant
    from rkfetch.registry.versions import Version

_SIZE = re.compile(r"(<=?|>=?|)\s*(\d{1,9}(?:\.\d{1,6})?)\s*([kmgt]?)(i?)b?", re.IGNORECASE)
_POWERS = {"": 0, "k": 1, "m": 2, "g": 3, "t": 4}


@dataclass(frozen=True, slots=True, kw_only=True)
class Sizes:
    """Sizes of files that are wanted, in bytes."""

    text: str
    least: int = 0
    most: int = 1 << 62

    @classmethod
    def parse(cls, text: str) -> Sizes:
        """Read ``2G`` (at most), ``<1.5G`` or ``>=500M,<2G``; units as the Hub's, of 1000.

        Raises:
            UsageError: it is none of these.
        """
        least, most = 0, 1 << 62
        for part in text.split(","):
            match = _SIZE.fullmatch(part.strip())
            if match is None:
                raise UsageError(
                    f"size '{text}' is not understood",
                    cause=["a size is a number with a unit, perhaps behind <, <=, > or >="],
                    hint="for example --size 2G (at most 2 GB), or --size '>=500M,<2G'",
                )
            sign, number, unit, binary = match.groups()
            size = int(float(number) * (1024 if binary else 1000) ** _POWERS[unit.lower()])
            if sign.startswith(">"):
                least = max(least, size + (sign == ">"))
            else:
                most = min(most, size - (sign == "<"))
        return cls(text=text, least=least, most=most)


@dataclass(frozen=True, slots=True, kw_only=True)
class Toolkits:
    """Toolkit versions that are wanted."""

    text: str
    specifiers: SpecifierSet

    @classmethod
    def parse(cls, text: str) -> Toolkits:
        """Read ``1.2.3`` or ``>=1.2,<1.3``, as pip reads versions.

        Raises:
            UsageError: it is neither.
        """
        from packaging.specifiers import InvalidSpecifier, SpecifierSet

        bare = re.fullmatch(r"[\d.]+(?:b\d+)?|", text.strip())
        try:
            return cls(text=text, specifiers=SpecifierSet(f"=={text}" if bare else text))
        except InvalidSpecifier:
            raise UsageError(
                f"toolkit '{text}' is not a range of versions",
                hint="for example --toolkit 1.2.3, or --toolkit '>=1.2,<1.3' (in quotes)",
            ) from None

    def may_be(self, versions: str) -> bool:
        """Tell whether one of some versions (none if unknown) is wanted; betas count, too."""
        known = versions.split()
        return not known or any(self.specifiers.contains(v, prereleases=True) for v in known)


@dataclass(frozen=True, slots=True, kw_only=True)
class Filters:
    """What is insisted on; None is anything."""

    platform: Platform | None = None
    quant: Quant | None = None
    """Without a group size, any group size will do."""
    toolkit: Toolkits | None = None
    runtime: Version | None = None
    """Leave out what this runtime is known to refuse."""
    context: int | None = None
    """Tokens, at least."""
    memory_bytes: int | None = None
    """Leave out what is too large for this memory."""
    size: Sizes | None = None
    uploader: str | None = None
    licence: str | None = None
    vision: bool | None = None

    def given(self) -> dict[str, str]:
        """Return the filters that are set, by name, each as a person gives it."""
        said = {
            "platform": self.platform and f"--platform {self.platform.value}",
            "quant": self.quant and f"--quant {self.quant}",
            "toolkit": self.toolkit and f"--toolkit '{self.toolkit.text}'",
            "runtime": self.runtime and f"--runtime {self.runtime}",
            "context": self.context and f"--context {self.context}",
            "memory_bytes": self.memory_bytes and f"--memory {_memory(self.memory_bytes)}",
            "size": self.size and f"--size '{self.size.text}'",
            "uploader": self.uploader and f"--uploader {self.uploader}",
            "licence": self.licence and f"--licence {self.licence}",
            "vision": None if self.vision is None else f"--{'' if self.vision else 'no-'}vision",
        }
        return {name: text for name, text in said.items() if text}

    def may_be(self, artifact: Artifact) -> bool:
        """Tell whether nothing that is known of a build's content is another than wanted."""
        known = artifact.quant
        return (
            self.platform in {None, artifact.platform or self.platform}
            and (self.quant is None or known is None or self.quant.covers(known))
            and (self.toolkit is None or self.toolkit.may_be(toolkit_text(artifact)))
            and (artifact.context or self.context or 0) >= (self.context or 0)
        )

    def without(self, *names: str) -> Filters:
        """Return the filters but for some."""
        return replace(self, **dict.fromkeys(names))


def _memory(size_bytes: int) -> str:
    """Write an amount of memory in the powers of 1024 in which it is sold."""
    return f"{size_bytes / (1 << 30):.3g}G" if size_bytes >= 1 << 30 else f"{size_bytes >> 20}M"
