"""Answers that break HTTP's rules, or use the odd corners of it, from the host with the bytes."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import pytest

from downloads import quick_http
from rkfetch.registry.errors import IntegrityError, NetworkError
from rkfetch.registry.http import RetryPolicy

if TYPE_CHECKING:
    from collections.abc import Callable

    from faults.rig import Rig
    from faults.wire import Ask

    How = Callable[[Ask], None]

BRIEF = RetryPolicy(attempts=2, first_wait_s=0.01, longest_wait_s=0.02)


def says(*lines: str, body: bool = True, **head: str) -> How:
    """Answer with the right body under a head with these lines."""

    def answer(ask: Ask) -> None:
        ask.say(ask.head(*lines, **head) + (ask.body if body else b""))

    return answer


def chunks(data: bytes, *, size: str = "{:x}", ending: bytes = b"0\r\n\r\n") -> bytes:
    """Write a body in chunks, their sizes in this form."""
    pieces = [data[at : at + 65536] for at in range(0, len(data), 65536)]
    return b"".join(size.format(len(p)).encode() + b"\r\n" + p + b"\r\n" for p in pieces) + ending


def chunked(*lines: str, size: str = "{:x}", ending: bytes = b"0\r\n\r\n") -> How:
    """Answer in chunks; no other length is told unless one of the lines does."""

    def answer(ask: Ask) -> None:
        head = ask.head("Transfer-Encoding: chunked", *lines, without=["Content-Length"])
        ask.say(head + chunks(ask.body, size=size, ending=ending))

    return answer


def after_interim(*interim: str) -> How:
    def answer(ask: Ask) -> None:
        ask.say("".join(f"HTTP/1.1 {line}\r\n\r\n" for line in interim).encode())
        ask.sound()

    return answer


def http_1_0(ask: Ask) -> None:
    """Knows neither ranges nor validators nor a connection that stays."""
    length = f"HTTP/1.0 200 OK\r\nContent-Length: {len(ask.content)}\r\n\r\n".encode()
    ask.say(length + ask.content)


def without_length(ask: Ask) -> None:
    ask.say(ask.head("Connection: close", without=["Content-Length"]) + ask.body)


ODD: dict[str, How] = {
    "HTTP/1.0": http_1_0,
    "no length, closed at the end": without_length,
    "an interim answer": after_interim("100 Continue"),
    "many interim answers": after_interim(*["103 Early Hints\r\nLink: </x>; rel=preload"] * 20),
    "no reason phrase": lambda ask: ask.say(
        ask.head(status="206" if ask.headers.get("range") else "200") + ask.body
    ),
    "the same length twice": lambda ask: ask.say(
        ask.head(*[f"Content-Length: {len(ask.body)}"] * 2) + ask.body
    ),
    "a folded line": says("X-Odd: one\r\n two"),
    "no blank after the colon": says("X-Odd:1", "X-Empty:"),
    "bytes that are no ASCII": says("X-Odd: caf\xe9"),
    "chunked": chunked(),
    "chunk sizes in capitals, with zeros": chunked(size="000{:X}"),
    "chunk extensions": chunked(size='{:x};name="value"'),
    "trailers": chunked(ending=b"0\r\nX-Checksum: 1\r\nX-More: 2\r\n\r\n"),
}


@pytest.mark.parametrize("how", ODD.values(), ids=ODD)
def test_odd_answers_with_the_right_bytes_are_taken(rig: Rig, how: How) -> None:
    rig.wire.misbehave(how)
    rig.succeeds()
    assert rig.wire.misbehaved


# --- heads that are none ------------------------------------------------------------------------


def nothing(ask: Ask) -> None:
    ask.hang_up()


def reset_before_any_byte(ask: Ask) -> None:
    ask.reset()


def reset_in_the_head(ask: Ask) -> None:
    ask.say(ask.head()[:40])
    ask.reset()


def closed_in_the_head(ask: Ask) -> None:
    ask.say(ask.head()[:40])


def garbage(ask: Ask) -> None:
    ask.say(bytes(range(256)) * 40)


def bare_content(ask: Ask) -> None:
    """HTTP/0.9: no head at all."""
    ask.say(ask.content)


def another_protocol(ask: Ask) -> None:
    ask.say(b"SSH-2.0-OpenSSH_9.6\r\n")


def head_without_end(ask: Ask) -> None:
    ask.say(b"HTTP/1.1 200 OK\r\n")
    ask.again(b"X-Fill: " + b"a" * 990 + b"\r\n", times=10_000)


def line_without_end(ask: Ask) -> None:
    ask.say(b"HTTP/1.1 200 OK\r\nX-Fill: ")
    ask.again(b"a" * 65536, times=160)


def hundred_thousand_lines(ask: Ask) -> None:
    ask.say(b"HTTP/1.1 200 OK\r\n" + b"A: b\r\n" * 100_000)
    ask.say(f"Content-Length: {len(ask.content)}\r\n\r\n".encode() + ask.content)


def interim_without_end(ask: Ask) -> None:
    ask.again(b"HTTP/1.1 103 Early Hints\r\n\r\n" * 100, times=10_000)


def status_line(text: str) -> How:
    def answer(ask: Ask) -> None:
        ask.say(f"{text}\r\nContent-Length: {len(ask.content)}\r\n\r\n".encode() + ask.content)

    return answer


NO_HEADS: dict[str, How] = {
    "closed before any byte": nothing,
    "reset before any byte": reset_before_any_byte,
    "reset in the head": reset_in_the_head,
    "closed in the head": closed_in_the_head,
    "garbage": garbage,
    "HTTP/0.9": bare_content,
    "another protocol": another_protocol,
    "a head without end": head_without_end,
    "a line without end": line_without_end,
    "100,000 lines": hundred_thousand_lines,
    "interim answers without end": interim_without_end,
    "a status that is no number": status_line("HTTP/1.1 abc OK"),
    "a status of five digits": status_line("HTTP/1.1 20000 OK"),
    "a head in a foreign tongue": status_line("ICY 200 OK"),
    "a line without a name": says(": nameless"),
    "a zero in a line": says("X-Odd: a\0b"),
    "two lengths that differ": lambda ask: ask.say(
        ask.head(f"Content-Length: {len(ask.body)}", "Content-Length: 17") + ask.body
    ),
    "a negative length": says("Content-Length: -5"),
    "a length of 30 digits": says("Content-Length: " + "9" * 30),
    "a length that is no number": says("Content-Length: 0x100"),
    "a transfer encoding nobody knows": says("Transfer-Encoding: rot13"),
}


@pytest.mark.parametrize("how", NO_HEADS.values(), ids=NO_HEADS)
def test_what_is_no_head_is_a_broken_connection(rig: Rig, how: How) -> None:
    rig.wire.misbehave(how)
    error = rig.fails(NetworkError, http=quick_http(retries=BRIEF))
    assert error.hint
    assert rig.wire.misbehaved > 1
    rig.wire.heal()
    rig.succeeds()


@pytest.mark.parametrize("how", NO_HEADS.values(), ids=NO_HEADS)
def test_in_the_middle_of_a_file_it_costs_nothing_that_is_here(rig: Rig, how: How) -> None:
    rig.then(how, times=1)
    done = rig.succeeds()
    assert done.bytes_downloaded < len(rig.wire.content) * 1.2
    assert rig.watcher.restarts == []


def trickling_head(ask: Ask) -> None:
    for byte in ask.head():
        ask.say(bytes([byte]))
        ask.pause(0.05)


def trickling_body(ask: Ask) -> None:
    ask.say(ask.head())
    for at in range(0, len(ask.body), 10):
        ask.say(ask.body[at : at + 10])
        ask.pause(0.05)


def trickling_chunk_size(ask: Ask) -> None:
    ask.say(ask.head("Transfer-Encoding: chunked", without=["Content-Length"]))
    while True:
        ask.say(b"0")
        ask.pause(0.05)


def silent_head(ask: Ask) -> None:
    ask.pause(30)


def silent_body(ask: Ask) -> None:
    ask.say(ask.head() + ask.body[:10])
    ask.pause(30)


@pytest.mark.parametrize(
    "how", [trickling_head, trickling_body, trickling_chunk_size, silent_head, silent_body]
)
def test_who_takes_for_ever_is_left(rig: Rig, how: How) -> None:
    rig.wire.misbehave(how)
    hurried = quick_http(retries=BRIEF, stall_timeout_s=0.2)
    error = rig.fails(NetworkError, http=hurried)
    assert error.hint
    rig.wire.misbehave(how, times=1)
    rig.succeeds(http=quick_http(stall_timeout_s=0.2))


# --- bodies that are not what was announced -----------------------------------------------------


def bad_chunk(size: bytes) -> How:
    """A chunk whose size is this."""

    def answer(ask: Ask) -> None:
        head = ask.head("Transfer-Encoding: chunked", without=["Content-Length"])
        ask.say(head + size + b"\r\n" + ask.body)

    return answer


def short_chunk(ask: Ask) -> None:
    """The size says more than the chunk has: what follows is taken for its end."""
    head = ask.head("Transfer-Encoding: chunked", without=["Content-Length"])
    ask.say(head + b"%x\r\n" % len(ask.body) + ask.body[:-7] + b"\r\n0\r\n\r\n")


def cut_chunks(ask: Ask) -> None:
    head = ask.head("Transfer-Encoding: chunked", without=["Content-Length"])
    ask.say(head + chunks(ask.body[:65536], ending=b""))


def size_without_end(ask: Ask) -> None:
    ask.say(ask.head("Transfer-Encoding: chunked", without=["Content-Length"]))
    ask.again(b"0" * 65536, times=160)


def extension_without_end(ask: Ask) -> None:
    ask.say(ask.head("Transfer-Encoding: chunked", without=["Content-Length"]) + b"5;")
    ask.again(b"x" * 65536, times=160)


def trailers_without_end(ask: Ask) -> None:
    head = ask.head("Transfer-Encoding: chunked", without=["Content-Length"])
    ask.say(head + chunks(ask.body[:65536]).removesuffix(b"\r\n"))
    ask.again(b"X-Fill: " + b"a" * 990 + b"\r\n", times=10_000)


def shortened(ask: Ask) -> None:
    ask.say(ask.head() + ask.body[:-70_000])


def without_length_and_short(ask: Ask) -> None:
    ask.say(ask.head("Connection: close", without=["Content-Length"]) + ask.body[:-70_000])


def less_announced(ask: Ask) -> None:
    ask.say(ask.head(f"Content-Length: {len(ask.body) - 7}") + ask.body)


def more_announced(ask: Ask) -> None:
    ask.say(ask.head(f"Content-Length: {len(ask.body) + 7}") + ask.body)


def both_announced(ask: Ask) -> None:
    """Chunked and with a length that is wrong for it: a way to smuggle."""
    ask.say(ask.head("Transfer-Encoding: chunked") + chunks(ask.body))


def compressed(ask: Ask) -> None:
    import gzip

    body = gzip.compress(ask.content, 1)
    ask.say(ask.head("Content-Encoding: gzip", f"Content-Length: {len(body)}") + body)


def compressed_in_transfer(ask: Ask) -> None:
    ask.say(ask.head("Transfer-Encoding: gzip, chunked") + chunks(ask.body))


def half_a_gigabyte(ask: Ask) -> None:
    ask.say(ask.head("Connection: close", without=["Content-Length"]))
    ask.again(bytes(1 << 20), times=512)


BAD_BODIES: dict[str, How] = {
    "a chunk size in no number": bad_chunk(b"zz"),
    "a negative chunk size": bad_chunk(b"-5"),
    "a chunk size as in C": bad_chunk(b"0x10"),
    "a chunk size of 30 digits": bad_chunk(b"f" * 30),
    "an empty chunk size": bad_chunk(b""),
    "a chunk size without end": size_without_end,
    "a chunk extension without end": extension_without_end,
    "a body that is short": shortened,
    "a body without length that is short": without_length_and_short,
    "fewer announced than sent": less_announced,
    "more announced than sent": more_announced,
    "compressed in transfer": compressed_in_transfer,
    "half a gigabyte": half_a_gigabyte,
}
MAY_DO: dict[str, How] = {
    "length and chunks": both_announced,
    "chunks without a last one": cut_chunks,
    "chunks of everything without a last one": chunked(ending=b""),
    "trailers without end": trailers_without_end,
    "HTTP of another age": status_line("HTTP/9.9 200 OK"),
}
"""All bytes come, at once or over several tries: either outcome is right, a wrong file is not."""


@pytest.mark.parametrize("digest", [True, False], ids=["digest known", "no digest"])
@pytest.mark.parametrize("how", BAD_BODIES.values(), ids=BAD_BODIES)
def test_a_body_that_is_not_as_announced_never_becomes_a_file(
    rig: Rig, how: How, digest: bool
) -> None:
    if not digest:
        rig.no_digest()
    rig.wire.misbehave(how)
    rig.fails(NetworkError, IntegrityError, http=quick_http(retries=BRIEF))
    rig.wire.heal()
    rig.succeeds()


@pytest.mark.parametrize("how", BAD_BODIES.values(), ids=BAD_BODIES)
def test_in_the_middle_of_a_file_it_is_mended(rig: Rig, how: How) -> None:
    rig.then(how, times=1)
    rig.succeeds()


@pytest.mark.parametrize("how", MAY_DO.values(), ids=MAY_DO)
def test_a_body_that_is_all_there_may_be_taken(rig: Rig, how: How) -> None:
    rig.wire.misbehave(how)
    rig.never_errs(http=quick_http(retries=BRIEF))
    rig.wire.heal()
    rig.succeeds()


def test_framing_that_steals_bytes_is_found_by_the_digest(rig: Rig) -> None:
    rig.wire.misbehave(short_chunk)
    rig.fails(IntegrityError)
    rig.wire.misbehave(short_chunk, times=1)
    rig.succeeds()


@pytest.mark.parametrize("begun", [False, True], ids=["whole", "in the middle"])
def test_who_compresses_files_is_named(rig: Rig, begun: bool) -> None:
    if begun:
        rig.then(compressed)
    else:
        rig.wire.misbehave(compressed)
    with pytest.raises(IntegrityError, match="compressed") as caught:
        rig.fetch()
    assert "proxy" in " ".join(caught.value.cause)
    assert rig.store.installed() == []
    rig.wire.heal()
    rig.succeeds()


# --- redirects and ends -------------------------------------------------------------------------


@pytest.mark.parametrize("to", ["{url}", ""], ids=["in circles", "to nowhere"])
def test_every_redirect_that_fails_says_a_way_out(rig: Rig, to: str) -> None:
    def answer(ask: Ask) -> None:
        location = f"Location: {to.format(url=rig.wire.url)}"
        ask.say(ask.head(location, "Content-Length: 0", status="302 Found"))

    rig.wire.misbehave(answer)
    with pytest.raises(NetworkError) as caught:
        rig.fetch()
    assert caught.value.hint


@pytest.mark.parametrize("target", ["http://[::1", "http://exa\x7fmple/"])
def test_a_redirect_to_what_is_no_address_is_refused_at_once(rig: Rig, target: str) -> None:
    def answer(ask: Ask) -> None:
        ask.say(ask.head(f"Location: {target}", "Content-Length: 0", status="302 Found"))

    rig.wire.misbehave(answer)
    error = rig.fails(NetworkError)
    assert error.message.startswith("a redirect of")
    assert rig.wire.misbehaved == 1


def test_a_chunked_body_that_never_ended_is_not_complete(rig: Rig) -> None:
    """Without a digest, HTTP's own end of the body is all that tells."""
    rig.no_digest()
    rig.wire.misbehave(short_chunk)
    error = rig.never_errs()
    assert error is not None


def test_a_time_out_below_any_network_is_not_taken(
    rig: Rig, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HF_HUB_DOWNLOAD_TIMEOUT", "1e-9")

    def late(ask: Ask) -> None:
        time.sleep(0.2)
        ask.sound()

    rig.wire.misbehave(late)
    rig.succeeds(http=quick_http(stall_timeout_s=None))
