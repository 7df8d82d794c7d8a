"""rkllama: a folder for each model, with the file and a Modelfile. Pure.

As its code reads them (NotPunchnox/rkllama 3a283ff): ``load_model`` in ``server/server.py`` takes
FROM and HUGGINGFACE_PATH with python-dotenv and refuses without both; ``api/model_utils.py`` takes
each line at its first ``=``, quotes and all, so numbers and marks are written without any.
``api/rkllm.py`` gives NUM_CTX to the runtime, 4096 by itself, and the runtime refuses more than
the file was built for. The vision encoder is the first ``.rknn`` in the folder.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from .served import Layout, with_plain_suffix
from .vision import family_of, picture_of

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from .served import Served

MODELFILE = "Modelfile"
_QUOTED = {"FROM", "HUGGINGFACE_PATH"}
_PLATFORMS = {"rk3576", "rk3588"}
"""What its server starts on."""


def layout(served: Served, name: str | None = None) -> Layout:
    """Say which files rkllama wants."""
    name = name or served.name
    file_name = with_plain_suffix(served.file_name)
    vision, doubts = _vision(served)
    return Layout(
        name=name,
        folder=name,
        model_file=file_name,
        encoder_file=with_plain_suffix(served.encoder) if served.encoder else None,
        settings=(
            ("FROM", file_name),
            ("HUGGINGFACE_PATH", served.tokenizer_repo or ""),
            ("NUM_CTX", str(served.context)),
            ("MAX_NEW_TOKENS", str(served.answer_tokens)),
            *vision,
        ),
        is_alone=True,
        notes=(*_notes(served), *doubts),
        next_step=f"rkllama_client run {name}",
    )


def _vision(served: Served) -> tuple[tuple[tuple[str, str], ...], tuple[str, ...]]:
    """Return the lines that the encoder needs, and what is not sure of them."""
    if served.encoder is None:
        return (), ()
    family = family_of(served.model or served.file_name)
    asks = "IMAGE_WIDTH, IMAGE_HEIGHT and N_IMAGE_TOKENS, and IMG_START, IMG_END and IMG_CONTENT"
    if family is None:
        return (), (f"the Modelfile needs {asks} of this encoder, which are not known here",)
    marks = family.marks
    lines = (
        ("IMG_START", marks.start),
        ("IMG_END", marks.end),
        ("IMG_CONTENT", marks.content),
    )
    picture = picture_of(family, served.encoder)
    if picture is None:
        needs = "the Modelfile needs IMAGE_WIDTH, IMAGE_HEIGHT and N_IMAGE_TOKENS of this encoder"
        return lines, (f"{needs}, which are not known here",)
    size = (
        ("IMAGE_WIDTH", str(picture.width)),
        ("IMAGE_HEIGHT", str(picture.height)),
        ("N_IMAGE_TOKENS", str(picture.tokens)),
    )
    if picture.is_named:
        return (*size, *lines), ()
    usual = f"{picture.width} x {picture.height} pixels are what such encoders usually take"
    return (*size, *lines), (f"{usual}; where this one takes others, correct the Modelfile",)


def _notes(served: Served) -> Iterator[str]:
    if served.tokenizer_repo is None:
        yield (
            "its base model is not known: write the Hub repository that has its tokenizer into "
            "the Modelfile, as HUGGINGFACE_PATH; rkllama loads nothing without"
        )
    elif not served.has_base_model:
        yield (
            f"its base model is not known; rkllama will look for its tokenizer in "
            f"{served.tokenizer_repo}, which may have none"
        )
    if served.platform is not None and served.platform not in _PLATFORMS:
        yield f"rkllama starts only on rk3588 and rk3576, and this file is for {served.platform}"


def modelfile(settings: Mapping[str, str]) -> str:
    """Write a Modelfile."""
    return "".join(f"{_line(key, value)}\n" for key, value in settings.items())


def _line(key: str, value: str) -> str:
    # safe_file_name leaves no quotes, backslashes or $ in a name, a Hub id has none.
    return f'{key}="{value}"' if key in _QUOTED else f"{key}={value}"


def read(text: str) -> dict[str, str]:
    """Read a Modelfile as rkllama does, quotes taken off; of a key that comes twice, the last."""
    found = {}
    for line in text.splitlines():
        key, equals, value = line.strip().partition("=")
        if equals and not key.startswith("#"):
            found[key.strip()] = value.strip().strip("\"'")
    return found


def differences(text: str, settings: Mapping[str, str]) -> list[str]:
    """Say where a Modelfile is not what it would be, key by key: what is there, what would be."""
    there = read(text)
    return [
        f"{key}={there[key]} (not {value})"
        if key in there
        else f"no {key} (which would be {value})"
        for key, value in settings.items()
        if there.get(key) != value
    ]


def corrected(text: str, settings: Mapping[str, str]) -> str:
    """Return a user's Modelfile with our keys set; all that is the user's own is kept."""
    missing = dict(settings)
    lines = []
    for line in text.splitlines():
        key, equals, _ = line.strip().partition("=")
        key = key.strip()
        if equals and key in settings:
            if key in missing:
                lines.append(_line(key, missing.pop(key)))
        else:
            lines.append(line)
    lines += [_line(key, value) for key, value in missing.items()]
    return "".join(f"{line}\n" for line in lines)
