"""Write the page and its tables as files that any web server, or a folder, can give out.

Every file but the page itself is named by what is in it: whoever has an old page still finds what
that one reads, and nothing is fetched twice. Tables are scripts, because a page that was opened
from a folder may read nothing else, and are compressed inside, because not every server does that.
"""

from __future__ import annotations

import base64
import gzip
import hashlib
import json
import re
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from rkfetch.catalog.measured import measured_figures, series
from rkfetch.registry.memory import COMFORT_BYTES, SYSTEM_BYTES
from rkfetch.registry.model import Platform
from rkfetch.registry.runtimes import RELEASES

from .boards import BOARDS
from .tables import BUILDS_A_FILE, tables

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from rkfetch.registry.model import Target

    from .tables import Build, Table

PAGE = "index.html"
FOLDER = "page"
"""Where the files lie that the page reads."""
_WEB = Path(__file__).with_name("web")
_SCRIPTS = (
    "words.js",
    "state.js",
    "builds.js",
    "chosen.js",
    "list.js",
    "plot.js",
    "here.js",
    "page.js",
)
"""In their order: each builds on those before."""
_FILE = re.compile(rf"{FOLDER}/[0-9a-f]{{16}}\.(?:js|css)")


class About(NamedTuple):
    """What a page says of itself."""

    name: str
    date: str
    """When what it shows was published or looked up, RFC 3339."""
    take: str | None = None
    """The command that takes the catalog in."""
    key: str | None = None
    """Its publisher's key."""
    files: Sequence[tuple[str, str]] = ()
    """Other files beside it: a name, and what it is."""
    here: Mapping[str, Any] | None = None
    """What is known of the machine that shows it; None for a page that others publish."""


def site(about: About, builds: Iterable[Build], board: Target | None = None) -> dict[str, bytes]:
    """Return the files of a page by their paths; the page itself is the last.

    The same builds give the same files. ``board`` is the one that shows it, if any: its NPU driver
    is judged, too.
    """
    made: dict[str, bytes] = {}
    shown = tables(builds, RELEASES, board)
    facts = {
        "name": about.name,
        "runtimes": [str(version) for version in RELEASES],
        "boards": [[b.name, b.platform.value, list(b.memory_gb)] for b in BOARDS],
        "memory": {"system": SYSTEM_BYTES, "comfort": COMFORT_BYTES},
        "measured": _measured(),
        "every": BUILDS_A_FILE,
        "platforms": [_platform(made, table) for table in shown],
        "here": about.here,
    }
    style, *scripts = (
        _put(made, (_WEB / name).read_bytes(), name.rpartition(".")[2])
        for name in ("page.css", *_SCRIPTS)
    )
    html = _template().render(
        about=about,
        facts=_inside_html(facts),
        css=style,
        scripts=scripts,
        models=_models(shown),
    )
    made[PAGE] = html.encode()
    return made


def files_of(page: bytes) -> set[str]:
    """Return the paths of the files that a page reads, when somebody looks at it."""
    return set(_FILE.findall(page.decode("utf-8", "replace")))


def _platform(made: dict[str, bytes], table: Table) -> dict[str, Any]:
    known = {p.value: p.npu_cores for p in Platform}
    return {
        "id": table.platform,
        "builds": table.builds,
        "cores": known.get(table.platform),
        "table": _put(made, _script(table.content), "js"),
        "evidence": [_put(made, _script(part), "js") for part in table.evidence],
    }


def _script(content: Any) -> bytes:
    """Return a script that hands a table over; it knows it by its own address."""
    text = json.dumps(content, ensure_ascii=False, separators=(",", ":"))
    packed = base64.b64encode(gzip.compress(text.encode(), 9, mtime=0)).decode()
    return f'rkfetchTable(document.currentScript,"{packed}");\n'.encode()


def _put(made: dict[str, bytes], content: bytes, suffix: str) -> str:
    path = f"{FOLDER}/{hashlib.sha256(content).hexdigest()[:16]}.{suffix}"
    made[path] = content
    return path


def _inside_html(facts: Mapping[str, Any]) -> str:
    """Return facts as JSON that ends no element and begins none, whatever is in it."""
    text = json.dumps(facts, ensure_ascii=False, separators=(",", ":"))
    return text.replace("&", "\\u0026").replace("<", "\\u003c").replace(">", "\\u003e")


def _measured() -> dict[str, list[list[Any]]]:
    """Return all measured figures by SoC: model, series, quantisation, bytes, speed, source."""
    found: dict[str, list[list[Any]]] = {}
    for figure in measured_figures():
        need = figure.need
        row = [
            *(figure.model, series(figure.model), str(figure.quant)),
            *(need.size_bytes, need.tokens_per_s, need.source),
        ]
        found.setdefault(figure.platform, []).append(row)
    return found


def _models(shown: Sequence[Table]) -> list[tuple[str, int, str]]:
    """Count the builds of each model, for whoever has no scripts."""
    builds: dict[str, int] = {}
    chips: dict[str, dict[str, None]] = {}
    for table in shown:
        names = [name for name, *_ in table.content["models"]]
        for number in table.content["builds"]["m"]:
            name = names[number] or "?"
            builds[name] = builds.get(name, 0) + 1
            chips.setdefault(name, {})[table.platform] = None
    return [
        (name, builds[name], ", ".join(chips[name])) for name in sorted(builds, key=str.casefold)
    ]


@cache
def _template() -> Any:
    import jinja2

    environment = jinja2.Environment(
        autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    return environment.from_string((_WEB / "page.html").read_text(encoding="utf-8"))
