"""Partial answers that lie, statuses that make no sense, and files that change on the way."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

import pytest

from downloads import FILE, REPO, quick_http
from faults.rig import CONTENT, OTHER, SHA256
from hub.server import Fault
from rkfetch.registry.errors import IntegrityError, NetworkError

if TYPE_CHECKING:
    from collections.abc import Callable

    from faults.rig import Rig
    from faults.wire import Ask

    How = Callable[[Ask], None]

SIZE = len(CONTENT)


def content_range(form: str) -> How:
    """Answer with the right bytes, but say this about where they belong."""

    def answer(ask: Ask) -> None:
        first, end = ask.part
        told = form.format(first=first, last=end - 1, size=SIZE, half=first // 2, next=first + 1)
        ask.say(ask.head(f"Content-Range: {told}", status="206 Partial Content") + ask.body)

    return answer


def no_content_range(ask: Ask) -> None:
    ask.say(ask.head(without=["Content-Range"], status="206 Partial Content") + ask.body)


def several_parts(ask: Ask) -> None:
    first, end = ask.part
    part = f"--x\r\nContent-Range: bytes {first}-{end - 1}/{SIZE}\r\n\r\n".encode()
    body = part + ask.body + b"\r\n--x--\r\n"
    kind = "Content-Type: multipart/byteranges; boundary=x"
    head = ask.head(kind, f"Content-Length: {len(body)}", without=["Content-Range"])
    ask.say(head + body)


def from_the_beginning(ask: Ask) -> None:
    """The first bytes of the file, under the name of those that were asked for."""
    ask.say(ask.head() + ask.content[: len(ask.body)])


def of_another_version(ask: Ask) -> None:
    """The bytes of another file, honestly labelled, whatever If-Range says."""
    first, end = ask.part
    ask.say(ask.head('ETag: "two"') + OTHER[first:end])


def longer_than_its_range(ask: Ask) -> None:
    ask.say(ask.head(f"Content-Length: {len(ask.body) + 9}") + ask.body + bytes(9))


def status(line: str, *lines: str, body: bytes = b"") -> How:
    def answer(ask: Ask) -> None:
        length = f"Content-Length: {len(body)}"
        ask.say(ask.head(length, *lines, status=line, without=["Content-Range"]) + body)

    return answer


def everything(ask: Ask) -> None:
    """200 and the whole file, for a range."""
    head = f"HTTP/1.1 200 OK\r\nContent-Length: {SIZE}\r\nETag: {ask.etag}\r\n\r\n"
    ask.say(head.encode() + ask.content)


LIES: dict[str, How] = {
    "it begins elsewhere": content_range("bytes {half}-{last}/{size}"),
    "it begins one later": content_range("bytes {next}-{last}/{size}"),
    "it ends elsewhere": content_range("bytes {first}-{first}/{size}"),
    "it ends behind the end": content_range("bytes {first}-{size}/{size}"),
    "its total is another": content_range("bytes {first}-{last}/9999999"),
    "its total is smaller": content_range("bytes {first}-{last}/{last}"),
    "it runs backwards": content_range("bytes {last}-{first}/{size}"),
    "its unit is another": content_range("pages {first}-{last}/{size}"),
    "it is no number": content_range("bytes a-b/c"),
    "it has 5000 digits": content_range("bytes " + "9" * 5000 + "-{last}/{size}"),
    "it is not told": no_content_range,
    "several parts": several_parts,
    "another part's bytes": from_the_beginning,
    "another version's bytes": of_another_version,
    "more than its range": longer_than_its_range,
    "200": everything,
    "201": status("201 Created"),
    "204": status("204 No Content"),
    "205": status("205 Reset Content"),
    "206 with nothing": status("206 Partial Content"),
    "304": status("304 Not Modified"),
    "300": status("300 Multiple Choices"),
    "400": status("400 Bad Request", body=b"no"),
    "403": status("403 Forbidden", body=b"<Error>expired</Error>"),
    "410": status("410 Gone"),
    "412": status("412 Precondition Failed"),
    "416": status("416 Range Not Satisfiable", f"Content-Range: bytes */{SIZE}"),
    "418": status("418 I'm a teapot"),
    "501": status("501 Not Implemented"),
    "599": status("599 Whatever"),
    "999": status("999 Denied"),
}


@pytest.mark.parametrize("how", LIES.values(), ids=LIES)
def test_one_lie_in_the_middle_of_a_file_is_got_over(rig: Rig, how: How) -> None:
    rig.then(how, times=1)
    rig.succeeds()


@pytest.mark.parametrize(
    ("name", "digest"),
    [
        pytest.param(name, digest, id=f"{name}, {'digest known' if digest else 'no digest'}")
        for name in LIES
        for digest in (True, False)
        # Without a digest nothing but the server's word says what belongs where.
        if digest or name != "another part's bytes"
    ],
)
def test_who_always_lies_never_gets_a_file_installed(rig: Rig, name: str, digest: bool) -> None:
    if not digest:
        rig.no_digest()
    rig.then(LIES[name])
    rig.never_errs()
    rig.wire.heal()
    rig.succeeds()


@pytest.mark.parametrize("name", ["200", "416", "it is not told", "several parts"])
def test_who_cannot_give_parts_gives_the_whole(rig: Rig, name: str) -> None:
    """Such a server never answers a range as it should; the file is begun anew instead."""
    rig.then(LIES[name])
    rig.succeeds()


@pytest.mark.parametrize(
    "line", ["204 No Content", "304 Not Modified", "206 Partial Content", "201 Created", "400 No"]
)
def test_a_status_that_is_no_file_is_a_network_error(rig: Rig, line: str) -> None:
    rig.wire.misbehave(status(line))
    error = rig.fails(NetworkError, IntegrityError)
    assert error.hint
    rig.wire.heal()
    rig.succeeds()


# --- versions -----------------------------------------------------------------------------------


def never_the_same_etag(ask: Ask) -> None:
    """A farm of servers that do not agree on ETags: what If-Range asks for is never there."""
    ask.headers.pop("if-range", None)
    ask.say(ask.head(f'ETag: "{id(ask)}"') + ask.body[: SIZE // 2 + 9])
    ask.hang_up()


def test_a_weak_etag_is_not_sent_back(rig: Rig) -> None:
    asked: list[str | None] = []

    def broken(ask: Ask) -> None:
        asked.append(ask.headers.get("if-range"))
        ask.say(ask.head('ETag: W/"one"') + ask.body[:300_000])
        ask.hang_up()

    rig.wire.misbehave(broken, times=2)
    rig.succeeds()
    assert rig.wire.misbehaved
    assert not [value for value in asked if value and value.startswith("W/")]


@pytest.mark.parametrize("digest", [True, False], ids=["digest known", "no digest"])
def test_an_etag_that_is_never_the_same_ends(rig: Rig, digest: bool) -> None:
    if not digest:
        rig.no_digest()
    rig.wire.misbehave(never_the_same_etag)
    rig.never_errs()
    rig.wire.heal()
    rig.succeeds()


@pytest.mark.parametrize("at", [1, 70_000, 599_000])
def test_a_file_that_changes_on_the_way_is_taken_whole(rig: Rig, at: int) -> None:
    """Without a digest the new version is as good as the old one: but never half of each."""
    rig.no_digest()

    def changed(ask: Ask) -> None:
        ask.say(ask.head() + ask.body[:at])
        rig.wire.content, rig.wire.etag = OTHER, '"two"'
        rig.wire.heal()
        ask.hang_up()

    rig.wire.misbehave(changed, times=1)
    rig.succeeds(sha256=hashlib.sha256(OTHER).hexdigest())
    assert rig.watcher.restarts


def test_a_pinned_file_that_changes_on_the_way_is_refused(rig: Rig) -> None:
    def changed(ask: Ask) -> None:
        ask.say(ask.head() + ask.body[:300_000])
        rig.wire.content, rig.wire.etag = OTHER, '"two"'
        rig.wire.heal()
        ask.hang_up()

    rig.wire.misbehave(changed, times=1)
    error = rig.fails(IntegrityError, sha256=SHA256, size_bytes=SIZE)
    assert SHA256 in " ".join(error.cause)
    rig.wire.content, rig.wire.etag = CONTENT, '"one"'
    rig.succeeds(sha256=SHA256)


def test_a_file_that_is_replaced_between_two_runs_is_not_spliced(rig: Rig) -> None:
    """The first run ends for good in the middle; the second meets another version."""
    rig.no_digest()

    def dying(ask: Ask) -> None:
        ask.say(b"" if ask.part[0] else ask.head() + ask.body[:300_000])
        ask.hang_up()

    rig.wire.misbehave(dying)
    rig.fails(NetworkError)
    assert rig.partials()
    rig.wire.heal()
    rig.wire.content, rig.wire.etag = OTHER, '"two"'
    done = rig.succeeds(sha256=hashlib.sha256(OTHER).hexdigest())
    assert done.bytes_downloaded >= SIZE


# --- signed addresses ---------------------------------------------------------------------------


def test_an_address_that_expires_in_the_middle_is_renewed(rig: Rig) -> None:
    def expired(ask: Ask) -> None:
        ask.say(ask.head("Content-Length: 0", status="403 Forbidden"))

    rig.then(expired, times=2)
    rig.hub.forget()
    done = rig.succeeds()
    assert [r.status for r in rig.hub.requests].count(302) > 1  # the Hub was asked again
    assert done.bytes_downloaded < SIZE * 1.2


def test_an_address_that_expires_again_and_again_finishes_while_bytes_come(rig: Rig) -> None:
    def some(ask: Ask) -> None:
        if len(rig.wire.asked) % 2:
            ask.say(ask.head() + ask.body[:60_000])
        else:
            ask.say(ask.head("Content-Length: 0", status="403 Forbidden"))

    rig.wire.misbehave(some)
    rig.succeeds()


# --- redirects ----------------------------------------------------------------------------------


def redirect(to: str, line: str = "302 Found") -> How:
    def answer(ask: Ask) -> None:
        ask.say(ask.head(f"Location: {to}", "Content-Length: 0", status=line))

    return answer


@pytest.mark.parametrize("line", ["301 Moved", "302 Found", "303 See Other", "307 T", "308 P"])
def test_the_cdn_may_redirect_again(rig: Rig, line: str) -> None:
    rig.wire.misbehave(redirect(f"{rig.wire.url}&again=1", line), times=3)
    rig.succeeds()


@pytest.mark.parametrize(
    "target",
    [
        "file:///etc/passwd",
        "ftp://127.0.0.1/x",
        "javascript:alert(1)",
        "data:text/plain,hello",
        "http://[::1",
        "http://169.254.169.254/latest/meta-data/",
        "http://[fe80::1]/x",
        "http://100.100.100.200/x",
        "http://metadata.google.internal/x",
        "http://[::ffff:169.254.169.254]/x",
        "http://2852039166/x",
        "//169.254.169.254/x",
        f"http://{'a' * 300}/x?Signature=s3cret",
        "http://",
        "http://:0/",
        "http://127.0.0.1:99999/",
    ],
)
def test_where_a_cdn_must_not_lead(rig: Rig, target: str) -> None:
    rig.wire.misbehave(redirect(target))
    error = rig.fails(NetworkError)
    assert any(
        word in " ".join([error.message, *error.cause])
        for word in ("redirect", "location", "address")
    )
    assert error.hint or "in circles" in error.message
    rig.wire.heal()
    rig.succeeds()


def test_a_redirect_in_circles_ends(rig: Rig) -> None:
    rig.wire.misbehave(redirect(rig.wire.url))
    error = rig.fails(NetworkError)
    assert "redirects in circles" in error.message
    rig.wire.heal()
    rig.succeeds()


def test_the_hub_may_not_lead_to_a_file_of_this_machine(rig: Rig) -> None:
    rig.hub.break_it(Fault(origin="hub", path="*.rkllm", redirect="file:///etc/passwd"))
    rig.fails(NetworkError)
    rig.hub.heal()
    assert rig.hub.find_repo(REPO) is not None
    rig.succeeds()
    assert rig.store.installed()[0].record.path == FILE


def test_a_captive_portal_that_takes_over_midway_is_got_over(rig: Rig) -> None:
    page = b"<!DOCTYPE html><html><title>Log in</title></html>"

    def portal(ask: Ask) -> None:
        ask.say(f"HTTP/1.1 200 OK\r\nContent-Length: {len(page)}\r\n\r\n".encode() + page)

    rig.then(portal, times=1)
    rig.succeeds()
    rig.store.remove(rig.store.installed()[0])
    rig.wire.misbehave(portal)
    error = rig.fails(IntegrityError)
    assert "web page" in " ".join(error.cause)
    rig.wire.heal()
    rig.succeeds(http=quick_http())
