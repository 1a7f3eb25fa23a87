"""Responses that can be read in two ways, and responses that end before their end."""

from .cases import Response
from .requests import CHUNKED, lines


def ok(*fields: str, status: str = "200 OK", version: str = "HTTP/1.1") -> bytes:
    return lines(f"{version} {status}", *fields)


def refused(rule: str, name: str, raw: bytes, then: str = "open", **more) -> Response:
    """The client gets a 502, and the endpoint's connection is not used again."""
    return Response(rule, name, raw, 502, then=then, **more)


def broken(rule: str, name: str, raw: bytes, body: bytes = b"", then: str = "open", **more) -> Response:
    """What came is passed on, and the client sees that it is not all."""
    return Response(rule, name, raw, 200, body, broken=True, then=then, **more)


def relayed(
    rule: str,
    name: str,
    raw: bytes,
    body: bytes = b"",
    status: int = 200,
    reusable: bool = True,
    then: str = "open",
    **more,
) -> Response:
    return Response(rule, name, raw, status, body, reusable=reusable, then=then, **more)


LENGTH = "Content-Length: 4"


def status_lines():
    rule = "RFC 9112 §4"
    for name, line in [
        ("another protocol", "SSH-2.0-x"),
        ("nothing but a body", "evil"),
        ("two digits", "HTTP/1.1 20 OK"),
        ("four digits", "HTTP/1.1 2000 OK"),
        ("letters", "HTTP/1.1 2x0 OK"),
        ("two spaces", "HTTP/1.1  200 OK"),
        ("tab", "HTTP/1.1\t200 OK"),
        ("version in lower case", "http/1.1 200 OK"),
        ("HTTP/1.2", "HTTP/1.2 200 OK"),
        ("HTTP/2.0", "HTTP/2.0 200 OK"),
        ("HTTP/0.9", "HTTP/0.9 200 OK"),
        ("ICY", "ICY 200 OK"),
        ("status 099", "HTTP/1.1 099 X"),
        ("status 000", "HTTP/1.1 000 X"),
        ("no status", "HTTP/1.1"),
        ("signed status", "HTTP/1.1 +20 X"),
        ("NUL in the reason", "HTTP/1.1 200 O\0K"),
        ("bare CR in the reason", "HTTP/1.1 200 O\rK"),
        ("bare LF in the reason", "HTTP/1.1 200 O\nK"),
        ("space in front", " HTTP/1.1 200 OK"),
        ("empty line in front", "\r\nHTTP/1.1 200 OK"),
        ("colon behind the status", "HTTP/1.1 200: OK"),
    ]:
        yield refused(rule, f"status line: {name}", lines(line, LENGTH) + b"evil")
    yield refused("RFC 9112 §2.2", "status line behind LF alone", b"HTTP/1.1 200 OK\nContent-Length: 4\n\nevil")
    for line in ["HTTP/1.1 200", "HTTP/1.1 200 ", "HTTP/1.1 200 any words \xe4"]:
        yield relayed(rule, f"status line {line!r}", lines(line, LENGTH) + b"good", b"good")
    yield relayed("RFC 9110 §15", "status 299", lines("HTTP/1.1 299 X", LENGTH) + b"good", b"good", status=299)


def framing():
    rule = "RFC 9112 §6.3"
    for name, fields in [
        ("length and chunked", (LENGTH, CHUNKED)),
        ("chunked and length", (CHUNKED, LENGTH)),
        ("two equal lengths", (LENGTH, LENGTH)),
        ("two lengths", (LENGTH, "Content-Length: 5")),
        ("list of lengths", ("Content-Length: 4, 4",)),
        ("signed length", ("Content-Length: +4",)),
        ("negative length", ("Content-Length: -4",)),
        ("hexadecimal length", ("Content-Length: 0x4",)),
        ("length with a fraction", ("Content-Length: 4.0",)),
        ("empty length", ("Content-Length:",)),
        ("length of 64 bits", (f"Content-Length: {1 << 64}",)),
        ("length of 63 bits", (f"Content-Length: {1 << 63}",)),
        ("chunked twice", (CHUNKED, CHUNKED)),
        ("chunked twice in one", (CHUNKED + ", chunked",)),
        ("gzip", ("Transfer-Encoding: gzip",)),
        ("identity", ("Transfer-Encoding: identity",)),
        ("gzip, chunked", ("Transfer-Encoding: gzip, chunked",)),
        ("chunked, gzip", ("Transfer-Encoding: chunked, gzip",)),
        ("xchunked", ("Transfer-Encoding: xchunked",)),
        ("chunked behind VT", ("Transfer-Encoding:\x0bchunked",)),
        ("empty coding", ("Transfer-Encoding:",)),
        ("Connection names the length", (LENGTH, "Connection: content-length")),
    ]:
        yield refused(rule, f"framing: {name}", ok(*fields) + b"0\r\n\r\nevil")
    yield refused(rule, "framing: chunked in HTTP/1.0", ok(CHUNKED, version="HTTP/1.0") + b"0\r\n\r\nevil")
    for name, field in [
        ("space before the colon", "X : 1"),
        ("folded", "X: 1\r\n evil"),
        ("NUL", "X: \0"),
        ("bare LF", "X: 1\nSet-Cookie: evil"),
        ("bare CR", "X: 1\rSet-Cookie: evil"),
        ("no colon", "evil"),
        ("no name", ": evil"),
        ("space in the name", "X Y: 1"),
    ]:
        yield refused("RFC 9112 §5", f"field: {name}", ok(field, LENGTH) + b"evil")
    yield refused("RFC 6585 §5", "too large a head", ok("X: " + "x" * 70_000, LENGTH) + b"evil")
    yield refused("RFC 6585 §5", "too many fields", ok(*["X: 1"] * 101, LENGTH) + b"evil")


def bodies():
    rule = "RFC 9112 §6.3"
    yield relayed(rule, "length", ok(LENGTH) + b"good", b"good")
    yield relayed(rule, "length 0", ok("Content-Length: 0"))
    yield relayed(
        rule,
        "length 0 where the endpoint closes",
        ok("Content-Length: 0", "Connection: close"),
        then="close",
        reusable=False,
    )
    yield relayed(rule, "chunked", ok(CHUNKED) + b"2\r\ngo\r\n002;a=b\r\nod\r\n0\r\n\r\n", b"good")
    yield relayed(rule, "until the end of the connection", ok() + b"good", b"good", then="close", reusable=False)
    yield relayed(
        rule, "until the end in HTTP/1.0", ok(version="HTTP/1.0") + b"good", b"good", then="close", reusable=False
    )
    yield relayed(rule, "length in HTTP/1.0", ok(LENGTH, version="HTTP/1.0") + b"good", b"good", reusable=False)
    yield relayed(
        rule,
        "length in HTTP/1.0 with keep-alive",
        ok(LENGTH, "Connection: keep-alive", version="HTTP/1.0") + b"good",
        b"good",
    )
    yield relayed(
        "RFC 9110 §6.5.1",
        "trailers",
        ok(CHUNKED)
        + b"4\r\ngood\r\n0\r\n"
        + lines("X-Sum: 7", "Set-Cookie: evil", "Content-Length: 9", "Location: evil", "Connection: close"),
        b"good",
        trailers=b"X-Sum: 7\r\n",
    )
    yield relayed(
        "RFC 9110 §7.6.1",
        "fields that Connection names",
        ok(LENGTH, "Connection: X-Own", "X-Own: evil", "Keep-Alive: evil", "Proxy-Connection: evil") + b"good",
        b"good",
    )

    rule = "RFC 9112 §8"
    for then in ["close", "reset"]:
        yield refused(rule, f"{then} before the head", b"", then)
        yield refused(rule, f"{then} in the status line", b"HTTP/1.1 2", then)
        yield refused(rule, f"{then} in the head", b"HTTP/1.1 200 OK\r\nContent-Le", then)
        yield refused(rule, f"{then} before the empty line", b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n", then)
        yield broken(rule, f"{then} behind the head", ok("Content-Length: 5"), b"", then)
        yield broken(rule, f"{then} in a body with a length", ok("Content-Length: 5") + b"good", b"good", then)
        yield broken(rule, f"{then} before the first chunk", ok(CHUNKED), b"", then)
        yield broken(rule, f"{then} in a chunk size", ok(CHUNKED) + b"4\r\ngood\r\n4", b"good", then)
        yield broken(rule, f"{then} in a chunk", ok(CHUNKED) + b"5\r\ngood", b"good", then)
        yield broken(rule, f"{then} between chunks", ok(CHUNKED) + b"4\r\ngood\r\n", b"good", then)
        yield broken(rule, f"{then} behind the last chunk", ok(CHUNKED) + b"4\r\ngood\r\n0\r\n", b"good", then)
        yield broken(rule, f"{then} in the trailers", ok(CHUNKED) + b"4\r\ngood\r\n0\r\nX: 1\r\n", b"good", then)
        yield broken(rule, f"{then} before the last LF", ok(CHUNKED) + b"4\r\ngood\r\n0\r\n\r", b"good", then)
    yield broken(rule, "reset where the end of the connection is the end", ok() + b"good", b"good", "reset")

    rule = "RFC 9112 §7.1"
    for name, chunk in [
        ("no hexadecimal size", b"g\r\nevil"),
        ("prefixed size", b"0x4\r\nevil"),
        ("signed size", b"+4\r\nevil"),
        ("space before the size", b" 4\r\nevil"),
        ("LF alone behind the size", b"4\nevil"),
        ("size of 64 bits", b"ffffffffffffffff\r\nevil"),
        ("17 digits", b"0" * 16 + b"4\r\nevil"),
        ("empty size", b"\r\nevil"),
        ("bad extension", b"4;=\r\nevil"),
        ("LF in an extension", b'4;a="\n"\r\nevil'),
        ("bad trailer", b"0\r\nevil\r\n\r\n"),
        ("folded trailer", b"0\r\nX: 1\r\n evil\r\n\r\n"),
        ("LF alone behind the last chunk", b"0\nevil"),
        ("another head", b"HTTP/1.1 200 OK\r\n\r\nevil"),
    ]:
        yield broken(rule, f"chunks: {name}", ok(CHUNKED) + b"4\r\ngood\r\n" + chunk, b"good")
    yield broken(rule, "chunks: more data than the size", ok(CHUNKED) + b"4\r\ngoodevil\r\n0\r\n\r\n", b"good")
    yield broken(rule, "chunks: no CRLF behind the data", ok(CHUNKED) + b"4\r\ngood0\r\n\r\n", b"good")


def bodiless():
    evil = b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nevil"
    for status in ["204 No Content", "304 Not Modified"]:
        code = int(status[:3])
        rule = f"RFC 9110 §15.{'3.5' if code == 204 else '4.5'}"
        yield relayed(rule, f"{code}", ok(status=status), status=code)
        yield relayed(rule, f"{code} with a length", ok(LENGTH, status=status), status=code)
        yield relayed(rule, f"{code} that says chunked", ok(CHUNKED, status=status), status=code)
        yield relayed(
            rule,
            f"{code} with a body",
            ok(LENGTH, status=status) + b"evil",
            status=code,
            reusable=False,
            in_bytes=False,
        )
        yield relayed(
            rule,
            f"{code} with chunks",
            ok(CHUNKED, status=status) + b"4\r\nevil\r\n0\r\n\r\n",
            status=code,
            reusable=False,
            in_bytes=False,
        )
        yield relayed(
            rule, f"{code} with another response", ok(status=status) + evil, status=code, reusable=False, in_bytes=False
        )
    rule = "RFC 9110 §9.3.2"
    yield relayed(rule, "answer to HEAD", ok("Content-Length: 1000"), method=b"HEAD")
    yield relayed(rule, "answer to HEAD that says chunked", ok(CHUNKED), method=b"HEAD")
    yield relayed(rule, "answer to HEAD without framing", ok(), method=b"HEAD")
    yield relayed(
        rule, "answer to HEAD with a body", ok(LENGTH) + b"evil", method=b"HEAD", reusable=False, in_bytes=False
    )
    yield relayed(
        rule,
        "answer to HEAD with chunks",
        ok(CHUNKED) + b"4\r\nevil\r\n0\r\n\r\n",
        method=b"HEAD",
        reusable=False,
        in_bytes=False,
    )
    rule = "RFC 9112 §9.2"
    yield relayed(rule, "two responses", ok(LENGTH) + b"good" + evil, b"good", reusable=False, in_bytes=False)
    yield relayed(rule, "bytes behind the response", ok(LENGTH) + b"goodevil", b"good", reusable=False, in_bytes=False)
    yield relayed(
        rule, "line end behind the response", ok(LENGTH) + b"good\r\n", b"good", reusable=False, in_bytes=False
    )
    yield relayed(
        rule,
        "response behind the last chunk",
        ok(CHUNKED) + b"4\r\ngood\r\n0\r\n\r\n" + evil,
        b"good",
        reusable=False,
        in_bytes=False,
    )
    yield relayed(rule, "response behind length 0", ok("Content-Length: 0") + evil, reusable=False, in_bytes=False)


def informational():
    rule = "RFC 9110 §15.2"
    good = ok(LENGTH) + b"good"
    hints = ok(status="103 Early Hints")
    yield relayed(rule, "100 unasked", ok(status="100 Continue") + good, b"good", informational=(100,))
    yield relayed(rule, "102 and 103", ok(status="102 Processing") + hints + good, b"good", informational=(102, 103))
    yield relayed(rule, "an unknown one", ok(status="199 X") + good, b"good", informational=(199,))
    yield relayed(rule, "one with a length", ok(LENGTH, status="103 Early Hints") + good, b"good", informational=(103,))
    yield relayed(
        rule, "one that says chunked", ok(CHUNKED, status="103 Early Hints") + good, b"good", informational=(103,)
    )
    yield relayed(rule, "a thousand", hints * 1000 + good, b"good", informational=(103,) * 1000)
    yield refused(rule, "and then the end", hints, "close", informational=(103,))
    yield refused(rule, "and then no HTTP", hints + b"evil\r\n\r\n", informational=(103,))
    yield refused(
        "RFC 9110 §15.2.2", "101 unasked", ok("Connection: upgrade", "Upgrade: evil", status="101 X") + b"evil"
    )
    yield refused("RFC 9110 §15.2.2", "101 without Upgrade", ok(status="101 X") + b"evil")


def all_responses() -> list[Response]:
    """Names are unique: a report names the case by them."""
    cases = [case for group in [status_lines, framing, bodies, bodiless, informational] for case in group()]
    names = [case.name for case in cases]
    repeated = {name for name in names if names.count(name) > 1}
    assert not repeated, repeated
    return cases
