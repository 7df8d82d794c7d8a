"""The page of a published catalog that people see in a browser."""

from __future__ import annotations

from html import escape
from typing import TYPE_CHECKING

from rkfetch.registry.model import Availability

from .form import MANIFEST, SIGNATURE

if TYPE_CHECKING:
    from collections.abc import Iterator

    from rkfetch.registry.model import Artifact

    from .form import Manifest

_GETTABLE = (Availability.LISTED, Availability.MANUAL)
_HEAD = """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{title}</title>
<style>
body {{ font: 1rem/1.5 system-ui, sans-serif; max-width: 50rem; margin: auto; padding: 1rem }}
code, pre {{ font-size: .9rem; overflow-wrap: anywhere; white-space: pre-wrap }}
table {{ border-collapse: collapse; width: 100% }}
th, td {{ text-align: left; vertical-align: top; padding: .2rem .6rem .2rem 0 }}
td {{ overflow-wrap: anywhere }}
tr {{ border-top: 1px solid #8885 }}
@media (prefers-color-scheme: dark) {{
  body {{ background: #111; color: #ddd }}
  a {{ color: #8bf }}
}}
</style>
</head>
<body>
<h1>{title}</h1>
"""


class Models:
    """Counts the builds of each model that somebody can get, and the SoCs that they are for."""

    def __init__(self) -> None:
        self.builds: dict[str, int] = {}
        self.platforms: dict[str, set[str]] = {}

    def add(self, artifact: Artifact) -> None:
        """Count a build that is published."""
        model = artifact.model
        if model and artifact.availability in _GETTABLE:
            self.builds[model] = self.builds.get(model, 0) + 1
            platforms = self.platforms.setdefault(model, set())
            if artifact.platform is not None:
                platforms.add(artifact.platform.value)


def page(manifest: Manifest, key: str | None, models: Models) -> str:
    """Return one page of HTML that needs no script: what is published, and how to take it."""
    return "\n".join(_lines(manifest, key, models)) + "\n"


def _lines(manifest: Manifest, key: str | None, models: Models) -> Iterator[str]:
    yield _HEAD.format(title=escape(manifest.name))
    yield (
        "<p>A catalog of <code>.rkllm</code> models for Rockchip boards, published with rkfetch "
        f"on {manifest.date[:10]}"
        + (f", to be used until {manifest.expires[:10]}" if manifest.expires else "")
        + f". Serial {manifest.serial}.</p>"
    )
    yield "<p>Take it, with the address of this page in place of ADDRESS:</p>"
    if key is None:
        yield "<pre>rkfetch catalog update --from ADDRESS --allow-unsigned</pre>"
        yield "<p><strong>It is not signed</strong>: nobody can tell whether it was altered.</p>"
    else:
        yield f"<pre>rkfetch catalog update --from ADDRESS --key {escape(key)}</pre>"
        yield (
            "<p>Compare the key with what its publisher told you elsewhere: who can alter this "
            "page can alter the key on it.</p>"
        )
    yield (
        f"<p>For other programs: <a href='{MANIFEST}'>{MANIFEST}</a>"
        + (f" and its <a href='{SIGNATURE}'>signature</a>" if key is not None else "")
        + ", which names the parts: gzipped JSON, one object a line.</p>"
    )
    yield f"<h2>{len(models.builds)} models</h2>"
    yield "<table><tr><th>model</th><th>builds</th><th>for</th></tr>"
    for model in sorted(models.builds, key=str.casefold):
        count, chips = models.builds[model], ", ".join(sorted(models.platforms[model])) or "?"
        yield f"<tr><td>{escape(model)}</td><td>{count}</td><td>{escape(chips)}</td></tr>"
    yield "</table>\n</body>\n</html>"
