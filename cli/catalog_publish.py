"""``rkfetch catalog publish|keygen``, ``update --from``: share a catalog, take a shared one in."""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from rkfetch.catalog.published.subscribe import Watcher
from rkfetch.registry.errors import UsageError

from . import options
from .opening import open_catalog
from .output import emit, emit_json, human_bytes, safe, say, talks_to_terminal

if TYPE_CHECKING:
    from rkfetch.catalog.published.hub import Sent
    from rkfetch.catalog.published.publish import Published
    from rkfetch.catalog.published.signing import Signer
    from rkfetch.catalog.published.subscribe import Taken

_EVERY_S = 2.0
_PASSWORD = "RKFETCH_SIGNING_PASSWORD"  # noqa: S105 - the name of a variable


def publish_command(
    folder: Annotated[
        Path | None,
        typer.Argument(metavar="[DIR]", help="A folder that a web server gives out."),
    ] = None,
    *,
    dataset: Annotated[
        str | None,
        typer.Option("--hub", metavar="OWNER/NAME", help="A dataset of the Hub instead."),
    ] = None,
    revision: Annotated[
        str, typer.Option("--revision", metavar="BRANCH", help="The branch of that dataset.")
    ] = "main",
    signing_key: Annotated[
        Path | None,
        options.fixable(
            "signing_key",
            "--key",
            metavar="FILE",
            help="Your secret key, of `rkfetch catalog keygen` or `minisign -G`. Its password, if "
            f"it has one, is asked, or read from {_PASSWORD}.",
        ),
    ] = None,
    unsigned: Annotated[
        bool,
        typer.Option(
            "--unsigned", help="Publish without a signature: others then have to accept that."
        ),
    ] = False,
    name: Annotated[
        str | None,
        typer.Option("--name", metavar="TEXT", help="What the catalog is called; else your DIR."),
    ] = None,
    converted: Annotated[
        bool,
        typer.Option(
            "--converted",
            help="Tell others also of what `rkfetch convert` made here out of models of the Hub. "
            "They fetch it from a store that their setting `mirrors` names.",
        ),
    ] = False,
    expires: Annotated[
        int,
        typer.Option(
            "--expires",
            metavar="DAYS",
            min=1,
            help="Until then it can be taken in: publish again before, from a timer. Nobody can "
            "pass an old one off as the newest for longer.",
        ),
    ] = 90,
    as_json: options.JsonOption = False,
    quiet: options.QuietOption = False,
) -> None:
    """Publish your catalog, so that others need not ask every repository themselves.

    What lies on your disks and in private repositories is left out. Published again, only what
    changed is written, and readers fetch only that.

    \b
    Examples:
      rkfetch catalog publish /srv/www/catalog --key ~/catalog.key
      rkfetch catalog publish --hub OWNER/NAME --key ~/catalog.key
    """
    if (folder is None) == (dataset is None):
        raise UsageError(
            "name one place to publish to: a folder, or --hub OWNER/NAME",
            hint="`rkfetch catalog publish --help` has examples",
        )
    signer = signer_of(signing_key, unsigned=unsigned)
    with open_catalog(quiet=True) as catalog:
        if dataset is not None:
            from rkfetch.catalog.published.hub import publish_to_hub

            if not quiet:
                say(f"publishing to {safe(dataset)}")
            sent: Sent | None = publish_to_hub(
                catalog,
                dataset,
                name=name or dataset,
                signer=signer,
                revision=revision,
                expires_days=expires,
                converted=converted,
            )
            assert sent is not None
            done, where = sent.published, sent.address
        else:
            from rkfetch.catalog.published.publish import publish

            assert folder is not None
            sent = None
            where = str(folder.expanduser().absolute())
            done = publish(
                catalog,
                Path(where),
                name=name or Path(where).name,
                signer=signer,
                expires_days=expires,
                converted=converted,
            )
    if as_json:
        emit_json({"status": "ok", **_published_json(done, where, sent)})
        return
    if not quiet:
        _say_published(done, sent)
    emit(where)


def signer_of(key: Path | None, *, unsigned: bool) -> Signer | None:
    """Return what signs; its password, if it has one, is asked.

    Raises:
        UsageError: there is no key, it is none, or its password is wrong.
    """
    if unsigned:
        return None
    if key is None:
        raise UsageError(
            "there is no key to sign with",
            hint="`rkfetch catalog keygen FILE` makes one, --key FILE names it; or --unsigned",
        )
    from rkfetch.catalog.published.signing import Signer

    return Signer.load(key.expanduser(), password=lambda: _password(key))


def _password(key: Path) -> str:
    named = os.environ.get(_PASSWORD)
    if named is not None:
        return named
    if not talks_to_terminal():
        raise UsageError(f"{key} has a password", hint=f"set {_PASSWORD}, or use a terminal")
    import getpass

    say("(it takes some seconds, on purpose)")
    return getpass.getpass(f"password of {key}: ")


def _say_published(done: Published, sent: Sent | None) -> None:
    manifest = done.manifest
    for what, why in done.left_out:
        say(f"left out: {safe(what)}: {safe(why)}")
    whole = sum(part.size_bytes for part in manifest.parts)
    if not done.is_new:
        say(f"nothing new since {manifest.date}: serial {manifest.serial} stays as it is")
    else:
        since = "" if done.changed_rows is None else f", {done.changed_rows} changed"
        say(
            f"published serial {manifest.serial}: {manifest.rows} rows{since}, {human_bytes(whole)}"
        )
    if sent is not None and sent.sent_files:
        say(f"sent {sent.sent_files} files, {human_bytes(sent.sent_bytes)}")
    if done.key is None:
        say("it is not signed: others can take it only with --allow-unsigned")
    else:
        say("tell others your key, in a way that they trust:")
        say(f"  --key {done.key}")


def _published_json(done: Published, where: str, sent: Sent | None) -> dict[str, Any]:
    manifest = done.manifest
    answer = {
        "where": where,
        "serial": manifest.serial,
        "date": manifest.date,
        "expires": manifest.expires,
        "new": done.is_new,
        "rows": manifest.rows,
        "changed_rows": done.changed_rows,
        "bytes": sum(part.size_bytes for part in manifest.parts),
        "key": done.key,
        "left_out": [{"what": what, "why": why} for what, why in done.left_out],
    }
    if sent is not None:
        answer |= {
            "commit": sent.commit,
            "sent": {"files": sent.sent_files, "bytes": sent.sent_bytes},
            "removed_files": sent.removed_files,
        }
    return answer


def keygen_command(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="Where the secret key goes.")],
    *,
    no_password: Annotated[
        bool,
        typer.Option(
            "--no-password", help="Without a password: for a timer, on a disk that you trust."
        ),
    ] = False,
) -> None:
    """Make a key to sign catalogs with: FILE, which stays secret, and FILE.pub, for everybody.

    They are minisign's; `minisign -G` makes the same. A password is asked, or read from
    RKFETCH_SIGNING_PASSWORD. The public key is printed.

    \b
    Examples:
      rkfetch catalog keygen ~/catalog.key
      rkfetch catalog keygen --no-password /etc/rkfetch/catalog.key
    """
    from rkfetch.catalog.published.signing import generate

    password = None if no_password else _new_password()
    public = generate(file.expanduser(), password=password)
    say(f"made {file} (keep it secret, and a copy of it) and {file}.pub")
    emit(public)


def _new_password() -> str:
    named = os.environ.get(_PASSWORD)
    if named is not None:
        return named
    if not talks_to_terminal():
        raise UsageError(
            "a key needs a password",
            hint=f"set {_PASSWORD}, use a terminal, or say --no-password",
        )
    import getpass

    first = getpass.getpass("password for the key (none: no password): ")
    if first != getpass.getpass("once more: "):
        raise UsageError("the two passwords differ", hint="run the same command again")
    return first


# --- taking in ----------------------------------------------------------------------------------


def update_from(
    text: str,
    *,
    key: str | None,
    allow_unsigned: bool,
    forget: bool,
    offline: bool,
    as_json: bool,
    quiet: bool,
) -> None:
    """Take a published catalog in, or forget it; see `cli.update.update_command`."""
    from rkfetch.catalog.published.places import place_of
    from rkfetch.catalog.published.subscribe import forget as forget_it
    from rkfetch.catalog.published.subscribe import take_from
    from rkfetch.registry.http import Http
    from rkfetch.registry.hub import hub_token

    watcher = Watcher() if quiet else _Talk()
    with Http(token=hub_token()) as http:
        usable = None if offline and not forget else http
        place = place_of(text, usable, waiting=None if quiet else _say_waiting)
        if forget:
            known = forget_it(place.address)
            if as_json:
                emit_json({"status": "ok", "from": place.address, "forgotten": known})
            elif not quiet:
                said = "forgot" if known else "nothing was taken from"
                say(f"{said} {safe(place.address)}")
            return
        taken = take_from(place, key=key, allow_unsigned=allow_unsigned, watcher=watcher)
    if as_json:
        emit_json({"status": "ok", **_taken_json(taken)})
    elif not quiet:
        _say_taken(taken)


class _Talk(Watcher):
    """Says how far it is every few seconds."""

    def __init__(self) -> None:
        self._said_at = time.monotonic()

    def fetching(self, done: int, total: int) -> None:
        """Count bytes."""
        now = time.monotonic()
        if now - self._said_at >= _EVERY_S:
            self._said_at = now
            say(f"{human_bytes(done)} of {human_bytes(total)}")

    def taking(self, rows: int) -> None:
        """Say that the rest is work here, where it takes a while."""
        if rows > 2000:
            say(f"taking in {rows} rows")


def _say_waiting(why: str, seconds: float) -> None:
    say(f"{safe(why)}; next try in {max(1, round(seconds))} s")


def _say_taken(taken: Taken) -> None:
    what = f"{safe(taken.name)}, serial {taken.serial} of {taken.date[:10]}"
    if taken.how == "unchanged":
        say(f"{what}: nothing new")
        return
    came = human_bytes(taken.fetched_bytes)
    if taken.how == "changes":
        came += f" instead of {human_bytes(taken.whole_bytes)}"
    say(f"{what}: {taken.changed} rows new or changed, {taken.withdrawn} withdrawn; {came} came")
    if not taken.signed:
        say("it is not signed: anybody on the way could have altered it")


def _taken_json(taken: Taken) -> dict[str, Any]:
    return {
        "from": taken.address,
        "name": taken.name,
        "serial": taken.serial,
        "date": taken.date,
        "how": taken.how,
        "signed": taken.signed,
        "changed": taken.changed,
        "withdrawn": taken.withdrawn,
        "bytes": {"fetched": taken.fetched_bytes, "whole": taken.whole_bytes},
    }
