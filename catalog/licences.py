"""What a base model's licence asks of who passes on a build of it.

A converted file is a derivative of its base model. Licences are named as the Hub's tags name them
(https://huggingface.co/docs/hub/repositories-licenses).
"""

from __future__ import annotations

_FREE = frozenset(
    {
        *("apache-2.0", "mit", "mit-0", "bsd", "bsd-2-clause", "bsd-3-clause", "isc", "zlib"),
        *("cc0-1.0", "cc-by-2.0", "cc-by-2.5", "cc-by-3.0", "cc-by-4.0", "unlicense", "wtfpl"),
        *("artistic-2.0", "ms-pl", "bsl-1.0", "ecl-2.0", "afl-3.0"),
    }
)
"""Which ask for no more than that their text and the authors' names stay with it."""
_LLAMA = (
    "https://www.llama.com/license: pass its text on, show 'Built with Llama', and begin the "
    "name with Llama"
)
_GEMMA = (
    "https://ai.google.dev/gemma/terms: pass the terms on with their restrictions of use, and say "
    "that the files were changed"
)


def licence_note(licence: str | None, *, base: str) -> str | None:
    """Return what to know before a build is published; None where nothing stands in the way.

    ``base`` names the model.
    """
    name = (licence or "").lower()
    if name in _FREE:
        return None
    if not name:
        return f"{base} names no licence: without one nobody may pass on builds of it"
    return f"{base} {_asked(name)}"


def _asked(name: str) -> str:
    parts = name.split("-")
    if name.startswith("llama"):
        return f"is under the {name} licence, {_LLAMA}"
    if name == "gemma":
        return f"is under Google's Gemma terms, {_GEMMA}"
    if "nd" in parts:
        return f"has a licence ({name}) that forbids to pass on what was made of it"
    if "nc" in parts:
        return f"has a licence ({name}) that forbids commercial use, of its builds too"
    return f"has terms of its own ({name}): read whether builds of it may be passed on"


def attribution(licence: str | None) -> str | None:
    """Return the sentence that a licence wants to stand with whatever was made of the model."""
    name = (licence or "").lower()
    if name.startswith("llama"):
        return "Built with Llama."
    if name == "gemma":
        return (
            "Gemma is provided under and subject to the Gemma Terms of Use found at "
            "ai.google.dev/gemma/terms."
        )
    return None
