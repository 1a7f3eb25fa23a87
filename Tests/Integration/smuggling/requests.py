"""Requests that can be read in two ways, and their harmless neighbours, which must pass.

The proxy of the suite has one route to the endpoint, on which WebSocket upgrades are allowed under `/ws`.
"""

from .cases import Request
from .wire import Message


def lines(*texts: str) -> bytes:
    return "".join(text + "\r\n" for text in (*texts, "")).encode("latin-1")


def get(*fields: str, target: str = "/", host: str = "Host: a") -> bytes:
    return lines(f"GET {target} HTTP/1.1", host, *fields)


def post(*fields: str, target: str = "/") -> bytes:
    return lines(f"POST {target} HTTP/1.1", "Host: a", *fields)


def refused(rule: str, name: str, status: int, reason: str, raw: bytes, begun: Message | None = None) -> Request:
    """Answered with `status`, counted as `reason`, and the connection is closed."""
    return Request(rule, name, raw, status, reason, begun=begun)


def passed(
    rule: str, name: str, raw: bytes, *forwarded: str, body: bytes = b"", trailers: bytes = b"", closes: bool = False
) -> Request:
    """The endpoint receives exactly this; the next request on the connection is served as well."""
    return Request(rule, name, raw, 200, forwarded=Message(lines(*forwarded), body, trailers), closes=closes)


def got(*fields: str, target: str = "/", host: str = "Host: a") -> tuple[str, ...]:
    return (f"GET {target} HTTP/1.1", host, *fields)


def posted(*fields: str) -> tuple[str, ...]:
    return ("POST / HTTP/1.1", "Host: a", *fields)


TE = "Transfer-Encoding"
CHUNKED = "Transfer-Encoding: chunked"
ENDS_AT_ONCE = b"0\r\n\r\n"


def transfer_encodings():
    rule = "RFC 9112 §6.1"
    both = "content_length_and_transfer_encoding"
    yield refused("RFC 9112 §6.3", "length, then chunked", 400, both, post("Content-Length: 4", CHUNKED) + ENDS_AT_ONCE)
    yield refused("RFC 9112 §6.3", "chunked, then length", 400, both, post(CHUNKED, "Content-Length: 4") + ENDS_AT_ONCE)
    yield refused("RFC 9112 §6.3", "length 0 and chunked", 400, both, post("Content-Length: 0", CHUNKED) + ENDS_AT_ONCE)
    yield refused(
        "RFC 9112 §6.3", "right length and chunked", 400, both, post("Content-Length: 5", CHUNKED) + ENDS_AT_ONCE
    )
    yield refused(
        "RFC 9112 §6.3", "length and chunked in GET", 400, both, get("Content-Length: 4", CHUNKED) + ENDS_AT_ONCE
    )
    yield refused(
        "RFC 9112 §6.3",
        "length and chunked in HTTP/1.0",
        400,
        both,
        lines("POST / HTTP/1.0", "Content-Length: 4", CHUNKED) + ENDS_AT_ONCE,
    )
    for value in [
        "identity",
        "gzip",
        "xchunked",
        "chunkedx",
        "chunked, identity",
        "chunked, gzip",
        "chunked, chunked",
        "chunked;q=1",
        '"chunked"',
        "chunked,",
        ",chunked",
        "chunk ed",
        "",
        "identity;chunked",
        "chunked:",
        "chun\xadked",
        "\xefchunked",
        "[chunked]",
        "chunked{}",
    ]:
        yield refused(
            rule, f"coding {value!r}", 400, "invalid_transfer_encoding", post(f"{TE}: {value}") + ENDS_AT_ONCE
        )
    for value in ["gzip, chunked", "identity, chunked", "deflate,chunked"]:
        yield refused(
            rule, f"codings {value!r}", 501, "unsupported_transfer_encoding", post(f"{TE}: {value}") + ENDS_AT_ONCE
        )
    for name, second in [
        ("chunked twice", CHUNKED),
        ("then identity", f"{TE}: identity"),
        ("then empty", f"{TE}:"),
        ("in another case", "TRANSFER-ENCODING: chunked"),
    ]:
        yield refused(
            rule, f"two codings, {name}", 400, "invalid_transfer_encoding", post(CHUNKED, second) + ENDS_AT_ONCE
        )
    yield refused(
        rule,
        "chunked in HTTP/1.0",
        400,
        "transfer_encoding_in_http10",
        lines("POST / HTTP/1.0", "Host: a", CHUNKED) + ENDS_AT_ONCE,
    )
    for code in [0x00, 0x01, 0x0B, 0x0C, 0x1F, 0x7F]:
        yield refused(
            "RFC 9110 §5.5",
            f"coding behind byte {code:#04x}",
            400,
            "control_byte",
            post(f"{TE}:{chr(code)}chunked") + ENDS_AT_ONCE,
        )
        yield refused(
            "RFC 9110 §5.5",
            f"coding before byte {code:#04x}",
            400,
            "control_byte",
            post(f"{TE}: chunked{chr(code)}") + ENDS_AT_ONCE,
        )
    yield refused(
        "RFC 9112 §5.1", "space before the colon", 400, "space_before_colon", post(f"{TE} : chunked") + ENDS_AT_ONCE
    )
    yield refused(
        "RFC 9112 §5.1", "tab before the colon", 400, "space_before_colon", post(f"{TE}\t: chunked") + ENDS_AT_ONCE
    )
    yield refused(
        "RFC 9112 §5.2", "coding on a folded line", 400, "line_folding", post("X: 1", f" {TE}: chunked") + ENDS_AT_ONCE
    )
    yield refused(
        "RFC 9112 §5.2",
        "coding continued on a folded line",
        400,
        "invalid_transfer_encoding",
        post(f"{TE}:", " chunked") + ENDS_AT_ONCE,
    )
    yield refused(
        "RFC 9112 §5",
        "name over two lines",
        400,
        "missing_colon",
        post("Transfer-", "Encoding: chunked") + ENDS_AT_ONCE,
    )
    yield refused("RFC 9112 §5", "NUL in the name", 400, "invalid_name", post(f"{TE}\0: chunked") + ENDS_AT_ONCE)
    yield refused(
        "RFC 9112 §2.2", "coding behind a bare LF", 400, "bare_line_feed", post(f"X: 1\n{CHUNKED}") + ENDS_AT_ONCE
    )
    yield refused(
        "RFC 9112 §2.2", "coding behind a bare CR", 400, "bare_carriage_return", post(f"X: 1\r{CHUNKED}") + ENDS_AT_ONCE
    )
    yield refused(
        "RFC 9112 §2.2", "CR before the value", 400, "bare_carriage_return", post(f"{TE}: \rchunked") + ENDS_AT_ONCE
    )
    yield refused(
        "RFC 9112 §2.2", "CR before the name", 400, "bare_carriage_return", post(f"\r{CHUNKED}") + ENDS_AT_ONCE
    )
    for name, field in [
        ("in upper case", f"{TE}: CHUNKED"),
        ("behind a tab", f"{TE}:\tchunked"),
        ("before blanks", f"{CHUNKED} \t "),
        ("without a space", f"{TE}:chunked"),
        ("name in lower case", "transfer-encoding: chunked"),
    ]:
        yield passed(rule, f"chunked {name}", post(field) + ENDS_AT_ONCE, *posted(CHUNKED))
    yield passed(
        rule, "no such field: an underscore", get("Transfer_Encoding: chunked"), *got("Transfer_Encoding: chunked")
    )


def content_lengths():
    rule = "RFC 9110 §8.6"
    for name, fields in [("equal", ("1", "1")), ("different", ("1", "0")), ("0 and 5", ("0", "5"))]:
        yield refused(
            rule,
            f"two lengths, {name}",
            400,
            "repeated_content_length",
            post(*(f"Content-Length: {value}" for value in fields)) + b"x",
        )
    for value in ["1, 1", "1, 2", "1,", ",1", "1,x"]:
        yield refused(
            rule, f"length {value!r}", 400, "repeated_content_length", post(f"Content-Length: {value}") + b"x"
        )
    for value in [
        "+1",
        "-1",
        "-0",
        "0x1",
        "1e1",
        "1.0",
        "1_0",
        "1 0",
        "",
        "abc",
        "1a",
        "1;",
        "'1'",
        "\xb2",
        "1\t1",
        "٣".encode().decode("latin-1"),
    ]:
        yield refused(rule, f"length {value!r}", 400, "invalid_content_length", post(f"Content-Length: {value}") + b"x")
    for value in [1 << 63, 1 << 64, (1 << 64) + 1, 10**40]:
        yield refused(
            "RFC 9112 §6.3", f"length {value}", 400, "content_length_overflow", post(f"Content-Length: {value}") + b"x"
        )
    yield refused(
        "RFC 9112 §5.1",
        "space before the colon of a length",
        400,
        "space_before_colon",
        post("Content-Length : 1") + b"x",
    )
    yield refused("RFC 9110 §5.5", "NUL behind a length", 400, "control_byte", post("Content-Length: 1\0") + b"x")
    yield refused(
        "RFC 9112 §5.2",
        "length continued on a folded line",
        400,
        "line_folding",
        post("Content-Length: 1", " 0") + b"x",
    )
    yield refused(
        "RFC 1945 §8.3", "HTTP/1.0 POST without a length", 411, "length_required", lines("POST / HTTP/1.0", "Host: a")
    )
    length = "Content-Length: 3"
    yield passed(rule, "length", post(length) + b"abc", *posted(length), body=b"abc")
    yield passed(
        rule, "length with zeros in front", post("Content-Length: 0003") + b"abc", *posted(length), body=b"abc"
    )
    yield passed(rule, "length among blanks", post("Content-Length: \t3 ") + b"abc", *posted(length), body=b"abc")
    yield passed(rule, "length in lower case", post("content-length:3") + b"abc", *posted(length), body=b"abc")
    yield passed(rule, "GET with a body", get(length) + b"abc", *got(length), body=b"abc")
    yield passed(
        rule,
        "GET with a body that looks like a request",
        get("Content-Length: 27") + get(),
        *got("Content-Length: 27"),
        body=get(),
    )
    yield passed(
        rule,
        "HEAD with a body",
        lines("HEAD / HTTP/1.1", "Host: a", length) + b"abc",
        "HEAD / HTTP/1.1",
        "Host: a",
        length,
        body=b"abc",
    )
    yield passed(rule, "POST without a length", post(), *posted())
    yield passed(rule, "length 0", post("Content-Length: 0"), *posted("Content-Length: 0"))
    yield passed(
        rule,
        "length in HTTP/1.0",
        lines("POST / HTTP/1.0", "Host: a", length) + b"abc",
        *posted(length),
        body=b"abc",
        closes=True,
    )


def line_ends():
    rule = "RFC 9112 §2.2"
    yield refused(rule, "LF alone throughout", 400, "bare_line_feed", b"GET / HTTP/1.1\nHost: a\n\n")
    yield refused(rule, "LF alone behind the request line", 400, "bare_line_feed", b"GET / HTTP/1.1\nHost: a\r\n\r\n")
    yield refused(rule, "LF alone behind a field", 400, "bare_line_feed", b"GET / HTTP/1.1\r\nHost: a\n\r\n")
    yield refused(rule, "LF alone as the empty line", 400, "bare_line_feed", b"GET / HTTP/1.1\r\nHost: a\r\n\n")
    yield refused(
        rule, "CR alone behind the request line", 400, "bare_carriage_return", b"GET / HTTP/1.1\rHost: a\r\n\r\n"
    )
    yield refused(
        rule, "CR CR LF behind the request line", 400, "bare_carriage_return", b"GET / HTTP/1.1\r\r\nHost: a\r\n\r\n"
    )
    yield refused(rule, "CR CR LF behind a field", 400, "bare_carriage_return", get("X: 1\r"))
    yield refused(rule, "CR alone in a value", 400, "bare_carriage_return", get("X: 1\r2"))
    yield refused(rule, "CR alone in a name", 400, "bare_carriage_return", get("X\rY: 1"))
    yield refused(rule, "CR alone as the empty line", 400, "bare_carriage_return", b"GET / HTTP/1.1\r\nHost: a\r\n\rX")
    yield refused(rule, "LF before the request", 400, "bare_line_feed", b"\n" + get())
    yield refused(rule, "CR before the request", 400, "bare_carriage_return", b"\r" + get())
    yield refused(rule, "two empty lines before the request", 400, "empty_line_before_request", b"\r\n\r\n" + get())
    yield refused(rule, "blank before the first field", 400, "line_folding", b"GET / HTTP/1.1\r\n Host: a\r\n\r\n")
    yield passed(rule, "one empty line before the request", b"\r\n" + get(), *got())


def fields():
    rule = "RFC 9112 §5"
    for name, blank in [("space", " "), ("tab", "\t"), ("blanks", " \t ")]:
        yield refused(
            "RFC 9112 §5.1", f"{name} before the colon of any field", 400, "space_before_colon", get(f"X{blank}: 1")
        )
        yield refused("RFC 9112 §5.2", f"line folded with {name}", 400, "line_folding", get("X: 1", f"{blank}2"))
    yield refused("RFC 9112 §5.2", "empty folded line", 400, "line_folding", get("X: 1", " "))
    for code in [0x00, 0x01, 0x07, 0x08, 0x0B, 0x0C, 0x0E, 0x1B, 0x1F, 0x7F]:
        yield refused("RFC 9110 §5.5", f"byte {code:#04x} in a value", 400, "control_byte", get(f"X: a{chr(code)}b"))
    for code in [0x00, 0x01, 0x1F, 0x7F, 0x80, 0xFF, *b' "(),/;<=>?@[\\]{}']:
        yield refused("RFC 9110 §5.1", f"byte {code:#04x} in a name", 400, "invalid_name", get(f"X{chr(code)}Y: 1"))
    yield refused(rule, "no colon", 400, "missing_colon", get("X"))
    yield refused(rule, "no name", 400, "empty_name", get(": 1"))
    yield refused("RFC 6585 §5", "name of 1,025 bytes", 431, "headers_too_large", get("X" * 1025 + ": 1"))
    yield refused("RFC 6585 §5", "too many fields", 431, "too_many_headers", get(*["X: 1"] * 100))
    yield refused("RFC 6585 §5", "too large a head", 431, "headers_too_large", get("X: " + "x" * 70_000))
    yield passed(rule, "empty value", get("X:"), *got("X: "))
    yield passed(rule, "blanks around a value", get("X:\t a b \t"), *got("X: a b"))
    yield passed(
        "RFC 9110 §5.5", "tab and bytes above ASCII in a value", get("X: a\tb \xe4\xff"), *got("X: a\tb \xe4\xff")
    )
    yield passed(
        "RFC 9110 §5.1", "every sign that a name may hold", get("!#$%&'*+-.^_`|~9z: 1"), *got("!#$%&'*+-.^_`|~9z: 1")
    )
    yield passed(
        "RFC 9110 §5.3",
        "one name several times stays in order",
        get("X: 1", "Y: 2", "x: 3"),
        *got("X: 1", "Y: 2", "x: 3"),
    )


def request_lines():
    rule = "RFC 9112 §3"
    for name, line, reason in [
        ("two spaces behind the method", "GET  / HTTP/1.1", "invalid_request_line"),
        ("two spaces before the version", "GET /  HTTP/1.1", "invalid_request_line"),
        ("space behind the version", "GET / HTTP/1.1 ", "invalid_request_line"),
        ("tab behind the method", "GET\t/ HTTP/1.1", "invalid_method"),
        ("tab before the version", "GET /\tHTTP/1.1", "invalid_target"),
        ("space in front", " GET / HTTP/1.1", "invalid_method"),
        ("space in the method", "GE T / HTTP/1.1", "invalid_version"),
        ("space in the target", "GET /a b HTTP/1.1", "invalid_version"),
        ("no target", "GET HTTP/1.1", "missing_version"),
        ("no version", "GET /", "missing_version"),
        ("empty version", "GET / ", "invalid_version"),
        ("only a method", "GET", "invalid_request_line"),
        ("version twice", "GET / HTTP/1.1 HTTP/1.1", "invalid_request_line"),
        ("another request behind", "GET / HTTP/1.1\0GET /evil HTTP/1.1", "invalid_request_line"),
    ]:
        yield refused(rule, name, 400, reason, lines(line, "Host: a"))
    for byte in ["@", "(", "/", ":", "[", "\0", "\x7f", "\x80", '"', "=", ";"]:
        yield refused(
            "RFC 9110 §9.1", f"{byte!r} in the method", 400, "invalid_method", lines(f"G{byte}T / HTTP/1.1", "Host: a")
        )
    yield refused("RFC 9110 §9.1", "TLS", 400, "invalid_method", b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03")
    yield refused(
        "RFC 9110 §9.1", "method of 33 letters", 501, "method_too_long", lines("G" * 33 + " / HTTP/1.1", "Host: a")
    )
    yield refused("RFC 9112 §3", "target of 8,193 bytes", 414, "target_too_long", get(target="/" + "x" * 8192))
    for version in ["HTTP/1.2", "HTTP/1.9", "HTTP/2.0", "HTTP/3.0", "HTTP/0.9"]:
        yield refused(
            "RFC 9112 §2.3", f"version {version}", 505, "unsupported_version", lines(f"GET / {version}", "Host: a")
        )
    for version in [
        "http/1.1",
        "Http/1.1",
        "HTTP/1,1",
        "HTTP/11",
        "HTTP/1",
        "HTTP/1.",
        "HTTP/01.1",
        "HTTP1.1",
        "HTTPS/1.1",
        "HTTP/a.b",
        "ICY/1.1",
        "HTTP/+1.1",
        "HTTP\\1.1",
    ]:
        yield refused(
            "RFC 9112 §2.3", f"version {version}", 400, "invalid_version", lines(f"GET / {version}", "Host: a")
        )
    yield refused(
        "RFC 9112 §2.3", "version HTTP/1.10", 400, "invalid_request_line", lines("GET / HTTP/1.10", "Host: a")
    )
    for method in ["get", "PROPFIND", "M-SEARCH", "PRI"]:
        yield passed(
            "RFC 9110 §9.1",
            f"method {method}",
            lines(f"{method} / HTTP/1.1", "Host: a"),
            f"{method} / HTTP/1.1",
            "Host: a",
        )


def targets():
    rule = "RFC 9112 §3.2"
    for byte in ["\0", "\x01", "\x0b", "\x1f", "\x7f", "\x80", "\xff", '"', "<", ">", "\\", "^", "`", "{", "|", "}"]:
        yield refused("RFC 3986 §2", f"{byte!r} in the target", 400, "invalid_target", get(target=f"/a{byte}b"))
    yield refused(rule, "fragment", 400, "fragment_in_target", get(target="/a#b"))
    yield refused(rule, "fragment in the absolute form", 400, "fragment_in_target", get(target="http://a#@b/"))
    for target in ["a", "?a", "a/b", ":80", "a:80", "http:a", "http:/a", "http", "://a/", "1http://a/", "ht_tp://a/"]:
        yield refused(rule, f"target {target}", 400, "invalid_absolute_target", get(target=target))
    for target in ["ftp://a/", "ws://a/", "file:///etc", "h2c://a/"]:
        yield refused("RFC 9110 §4.2", f"target {target}", 400, "unsupported_scheme", get(target=target))
    for target in [
        "http:///x",
        "http://",
        "http://u@a/",
        "http://u:p@a/",
        "http://a:b/",
        "http://a:65536/",
        "http://a:-1/",
        "http://[::1/",
        "http://[xyz]/",
        "http://a%zz/",
        "http://a:80:80/",
        "http://@a/",
    ]:
        yield refused("RFC 9110 §4.2.4", f"target {target}", 400, "invalid_authority", get(target=target))
    for target, host in [
        ("http://b/", "a"),
        ("http://a:81/", "a"),
        ("http://a/", "a:81"),
        ("http://a./", "a"),
        ("http://a.b/", "a"),
    ]:
        yield refused(
            "RFC 9112 §3.2.2",
            f"target {target} with host {host}",
            400,
            "host_mismatch",
            get(target=target, host=f"Host: {host}"),
        )
    yield refused("RFC 9112 §3.2", "absolute form without Host", 400, "missing_host", lines("GET http://a/ HTTP/1.1"))
    yield refused("RFC 9112 §3.2.4", "asterisk with GET", 400, "asterisk_target", get(target="*"))
    yield refused(
        "RFC 9112 §3.2.4", "asterisk with more", 400, "invalid_absolute_target", lines("OPTIONS ** HTTP/1.1", "Host: a")
    )
    for target, form, host in [
        ("http://a/x?y", "/x?y", "a"),
        ("http://a", "/", "a"),
        ("http://a?y", "/?y", "a"),
        ("HTTP://a/x", "/x", "a"),
        ("http://a:80/x", "/x", "a:80"),
    ]:
        yield passed("RFC 9112 §3.2.2", f"target {target}", get(target=target), *got(target=form, host=f"Host: {host}"))
    for target, form in [
        ("//evil/x", "/evil/x"),
        ("/a/../b", "/b"),
        ("/a/%2e%2E/b", "/b"),
        ("/../../x", "/x"),
        ("/%61%2fb", "/a%2Fb"),
        ("/a;b=1,2@:c", "/a;b=1,2@:c"),
        ("/?a/../b", "/?a/../b"),
        ("/http://b/", "/http:/b/"),
        ("/?#"[:2], "/?"),
    ]:
        yield passed("RFC 3986 §6.2.2", f"path {target}", get(target=target), *got(target=form))
    for target, reason in [
        ("/%", "malformed_escape"),
        ("/%4", "malformed_escape"),
        ("/%zz", "malformed_escape"),
        ("/a%00b", "escaped_nul"),
    ]:
        yield Request("RFC 3986 §2.1", f"path {target}", get(target=target), 400, reason, keeps=True)
    yield passed("RFC 9112 §3.2.4", "asterisk", lines("OPTIONS * HTTP/1.1", "Host: a"), "OPTIONS * HTTP/1.1", "Host: a")
    yield passed(
        "RFC 9112 §3.2.4",
        "OPTIONS of a whole server",
        lines("OPTIONS http://a HTTP/1.1", "Host: a"),
        "OPTIONS * HTTP/1.1",
        "Host: a",
    )


def hosts():
    rule = "RFC 9112 §3.2"
    yield refused(rule, "no Host", 400, "missing_host", lines("GET / HTTP/1.1"))
    for name, pair in [
        ("different", ("Host: a", "Host: b")),
        ("equal", ("Host: a", "Host: a")),
        ("second empty", ("Host: a", "Host:")),
        ("in another case", ("Host: a", "HOST: b")),
    ]:
        yield refused(rule, f"two Hosts, {name}", 400, "repeated_host", lines("GET / HTTP/1.1", *pair))
    yield refused(rule, "two Hosts in HTTP/1.0", 400, "repeated_host", lines("GET / HTTP/1.0", "Host: a", "Host: b"))
    for host in [
        "",
        "a b",
        "a, b",
        "u@a",
        "a:port",
        "a:99999",
        "a:-1",
        "a:80:80",
        "a/b",
        "a?b",
        "a#b",
        "http://a",
        "[::1",
        "::1",
        "[zz]",
        "[]",
        "[::1]x",
        "a\tb",
        "a\\b",
        'a"',
        ":80",
        "a%",
        "a%4",
        "\xe4",
    ]:
        yield refused(rule, f"Host {host!r}", 400, "invalid_host", get(host=f"Host: {host}"))
    yield refused("RFC 9110 §5.5", "NUL in Host", 400, "control_byte", get(host="Host: a\0b"))
    yield refused("RFC 9112 §5.1", "space before the colon of Host", 400, "space_before_colon", get(host="Host : a"))
    for host in ["a:8080", "[::1]:80", "A.Example", "xn--bcher-kva.example", "a:", "a%2eb"]:
        yield passed(rule, f"Host {host}", get(host=f"Host: {host}"), *got(host=f"Host: {host}"))
    yield passed(rule, "blanks around Host", get(host="host:\ta "), *got())


def connects():
    rule = "RFC 9112 §3.2.3"
    for target in ["a", "a:", "/", "http://a/", "*", "u@a:443", "a:65536", ":443", "a:443/", "a:443?x"]:
        yield refused(
            rule, f"CONNECT {target}", 400, "invalid_connect_target", lines(f"CONNECT {target} HTTP/1.1", "Host: a:443")
        )
    yield refused(
        "RFC 9112 §3.2",
        "CONNECT elsewhere than Host",
        400,
        "host_mismatch",
        lines("CONNECT a:443 HTTP/1.1", "Host: b:443"),
    )
    yield refused(
        "RFC 9110 §9.3.6",
        "CONNECT with a body",
        400,
        "body_in_connect",
        lines("CONNECT a:443 HTTP/1.1", "Host: a:443", "Content-Length: 3") + b"abc",
    )
    yield refused(
        "RFC 9110 §9.3.6",
        "CONNECT with chunks",
        400,
        "body_in_connect",
        lines("CONNECT a:443 HTTP/1.1", "Host: a:443", CHUNKED) + ENDS_AT_ONCE,
    )
    yield Request(
        "RFC 9110 §9.3.6", "CONNECT that no route allows", lines("CONNECT a:443 HTTP/1.1", "Host: a:443"), 403
    )
    yield Request(
        "RFC 9110 §9.3.6",
        "CONNECT with length 0",
        lines("CONNECT a:443 HTTP/1.1", "Host: a:443", "Content-Length: 0"),
        403,
    )


def connection_options():
    rule = "RFC 9110 §7.6.1"
    for option in [
        "Content-Length",
        "host",
        "TRANSFER-ENCODING",
        "close, content-length",
        "keep-alive,host",
        "a b",
        '"x"',
        "a;b",
        "\xe4",
    ]:
        yield refused(
            rule,
            f"Connection {option!r}",
            400,
            "invalid_connection_option",
            post(f"Connection: {option}", "Content-Length: 3") + b"abc",
        )
    yield passed(
        rule,
        "fields that Connection names",
        get("Connection: X-Mine, keep-alive", "X-Mine: 1", "Keep-Alive: 5", "X-Kept: Yes", "x-mine: 2"),
        *got("X-Kept: Yes"),
    )
    yield passed(rule, "fields named before and behind", get("X: 1", "Connection: X", "Connection: Y", "Y: 2"), *got())
    yield passed(
        rule,
        "what is hop-by-hop anyway",
        get("TE: gzip", "Proxy-Connection: keep-alive", "Keep-Alive: 1", "Connection: te"),
        *got(),
    )
    yield passed(rule, "empty elements", get("Connection: ,, ,keep-alive,"), *got())
    yield passed(
        rule, "X-Forwarded-Proto named", get("Connection: x-forwarded-proto", "X-Forwarded-Proto: gopher"), *got()
    )
    yield passed("RFC 9112 §9.3", "HTTP/1.0", lines("GET / HTTP/1.0", "Host: a"), *got(), closes=True)
    yield passed(
        "RFC 9112 §9.3", "HTTP/1.0 that stays", lines("GET / HTTP/1.0", "Host: a", "Connection: Keep-Alive"), *got()
    )
    yield passed(
        "RFC 9112 §9.6", "close wins over keep-alive", get("Connection: keep-alive, close"), *got(), closes=True
    )
    yield passed(
        "RFC 9112 §9.6",
        "close in another field",
        get("Connection: keep-alive", "connection: CLOSE"),
        *got(),
        closes=True,
    )


def expectations_and_upgrades():
    rule = "RFC 9110 §10.1.1"
    for value in ["200-ok", "100-continue, x", "", "100-continue;a=b", "101-continue"]:
        yield refused(
            rule,
            f"Expect {value!r}",
            417,
            "unsupported_expectation",
            post(f"Expect: {value}", "Content-Length: 3") + b"abc",
        )
    yield refused(
        rule,
        "two expectations",
        417,
        "unsupported_expectation",
        post("Expect: 100-continue", "Expect: x", "Content-Length: 3") + b"abc",
    )
    yield passed(
        rule,
        "100-continue",
        post("Expect: 100-Continue", "Content-Length: 3") + b"abc",
        *posted("Expect: 100-Continue", "Content-Length: 3"),
        body=b"abc",
    )
    yield passed(rule, "100-continue without a body", get("Expect: 100-continue"), *got("Expect: 100-continue"))
    yield passed(
        rule,
        "Expect in HTTP/1.0",
        lines("POST / HTTP/1.0", "Host: a", "Expect: x", "Content-Length: 1") + b"x",
        *posted("Content-Length: 1"),
        body=b"x",
        closes=True,
    )
    rule = "RFC 9110 §7.8"
    upgrade = ("Connection: Upgrade", "Upgrade: websocket")
    yield passed(rule, "upgrade that the route does not allow", get(*upgrade), *got())
    yield passed(
        rule,
        "upgrade that the endpoint ignores",
        get(*upgrade, target="/ws"),
        *got("Connection: upgrade", "Upgrade: websocket", target="/ws"),
    )
    yield passed(
        rule, "upgrade that Connection does not name", get("Upgrade: websocket", target="/ws"), *got(target="/ws")
    )
    yield passed(
        rule,
        "upgrade with a body",
        post(*upgrade, "Content-Length: 3", target="/ws") + b"abc",
        "POST /ws HTTP/1.1",
        "Host: a",
        "Content-Length: 3",
        body=b"abc",
    )
    yield passed(
        rule,
        "upgrade with chunks",
        post(*upgrade, CHUNKED, target="/ws") + b"3\r\nabc\r\n0\r\n\r\n",
        "POST /ws HTTP/1.1",
        "Host: a",
        CHUNKED,
        body=b"abc",
    )
    yield passed(
        rule, "upgrade in HTTP/1.0", lines("GET /ws HTTP/1.0", "Host: a", *upgrade), *got(target="/ws"), closes=True
    )
    yield passed(
        "RFC 9113 §3.1",
        "upgrade to h2c",
        get("Connection: Upgrade, HTTP2-Settings", "Upgrade: h2c", "HTTP2-Settings: AAMAAABk", target="/ws"),
        *got(target="/ws"),
    )
    yield passed(
        "RFC 9113 §3.1",
        "upgrade to h2c or websocket",
        get("Connection: Upgrade", "Upgrade: websocket, h2c", target="/ws"),
        *got(target="/ws"),
    )


def chunks():
    rule = "RFC 9112 §7.1"

    def sent(name: str, chunks: bytes, reason: str, begun: bytes = b"", status: int = 400, rule: str = rule):
        target = f"/{len(seen)}"
        seen.append(name)
        return refused(
            rule,
            name,
            status,
            reason,
            post(CHUNKED, target=target) + chunks,
            Message(lines(f"POST {target} HTTP/1.1", "Host: a", CHUNKED), begun),
        )

    seen: list[str] = []
    for line in [
        "0x1",
        " 1",
        "-1",
        "+1",
        "",
        "g",
        "1,1",
        "1.0",
        "1_0",
        "1h",
        "\\x31",
        "\x00",
        "0" * 16 + "1",
        "1\x00",
        "\xb9",
        "1\x0b",
    ]:
        yield sent(f"chunk size {line!r}", line.encode("latin-1") + b"\r\nx\r\n0\r\n\r\n", "invalid_chunk_size")
    for line in ["8000000000000000", "ffffffffffffffff"]:
        yield sent(f"chunk size {line}", line.encode() + b"\r\nx\r\n", "chunk_size_overflow")
    yield sent("chunk size of 17 digits", b"10000000000000000\r\nx\r\n", "invalid_chunk_size")
    yield sent("LF alone behind the size", b"1\nx\r\n0\r\n\r\n", "bare_line_feed")
    yield sent("CR alone behind the size", b"1\rx\r\n0\r\n\r\n", "bare_carriage_return")
    yield sent("CR CR LF behind the size", b"1\r\r\nx\r\n0\r\n\r\n", "bare_carriage_return")
    yield sent("second chunk with LF alone", b"1\r\nx\r\n1\ny\r\n0\r\n\r\n", "bare_line_feed", b"x")
    yield sent("more data than the size", b"1\r\nxx\r\n0\r\n\r\n", "invalid_chunk_terminator", b"x")
    yield sent("no CRLF behind the data", b"1\r\nx0\r\n\r\n", "invalid_chunk_terminator", b"x")
    yield sent("LF alone behind the data", b"1\r\nx\n0\r\n\r\n", "invalid_chunk_terminator", b"x")
    yield sent("CR alone behind the data", b"1\r\nx\r0\r\n\r\n", "invalid_chunk_terminator", b"x")
    rule = "RFC 9112 §7.1.1"
    for line in [
        "1 ",
        "1\t",
        "1;",
        "1; ",
        "1;=a",
        "1;a=",
        "1;a;",
        "1;a=b c",
        "1;a b",
        '1;a="',
        '1;a="b"c',
        "1;a=\x00",
        '1;a="\x00"',
        "1;a=\x7f",
        "1;\xe4",
        "1 x",
        "1;a==b",
        '1;"a"=b',
    ]:
        yield sent(
            f"chunk extension {line!r}",
            line.encode("latin-1") + b"\r\nx\r\n0\r\n\r\n",
            "invalid_chunk_extension",
            rule=rule,
        )
    yield sent("LF alone behind an extension", b"1;a\nx\r\n0\r\n\r\n", "bare_line_feed", rule=rule)
    yield sent("LF in a quoted extension", b'1;a="\n"\r\nx\r\n0\r\n\r\n', "invalid_chunk_extension", rule=rule)
    yield sent("CR LF in a quoted extension", b'1;a="\r\n"\r\nx\r\n0\r\n\r\n', "invalid_chunk_extension", rule=rule)
    yield sent(
        "extensions beyond the limit",
        b"1;" + b"a" * 4097 + b"\r\nx\r\n0\r\n\r\n",
        "chunk_extensions_too_large",
        rule=rule,
    )
    yield sent(
        "extensions of many chunks beyond the limit",
        (b"1;" + b"a" * 1000 + b"\r\nx\r\n") * 5,
        "chunk_extensions_too_large",
        b"xxxx",
        rule=rule,
    )
    yield sent("LF alone behind the last chunk", b"0\n\r\n", "bare_line_feed")
    yield sent("LF alone at the end of the trailers", b"0\r\n\n", "bare_line_feed", rule="RFC 9112 §7.1.2")
    yield sent("CR alone at the end of the trailers", b"0\r\n\rx", "bare_carriage_return", rule="RFC 9112 §7.1.2")
    rule = "RFC 9112 §7.1.2"
    for name, line, reason in [
        ("without a colon", "X", "missing_colon"),
        ("space before the colon", "X : 1", "space_before_colon"),
        ("folded", "X: 1\r\n 2", "line_folding"),
        ("NUL", "X: \0", "control_byte"),
        ("bare LF", "X: 1\nY: 2", "bare_line_feed"),
        ("bare CR", "X: 1\rY: 2", "bare_carriage_return"),
        ("odd length", "Content-Length: -1", "invalid_content_length"),
        ("no name", ": 1", "empty_name"),
        ("another request", "GET /evil HTTP/1.1", "invalid_name"),
    ]:
        yield sent(f"trailer: {name}", b"1\r\nx\r\n0\r\n" + line.encode() + b"\r\n\r\n", reason, b"x", rule=rule)
    yield sent(
        "trailers beyond the limit",
        b"1\r\nx\r\n0\r\nX: " + b"x" * 9000 + b"\r\n\r\n",
        "headers_too_large",
        b"x",
        status=431,
        rule="RFC 6585 §5",
    )
    yield sent(
        "too many trailers",
        b"1\r\nx\r\n0\r\n" + b"X: 1\r\n" * 101 + b"\r\n",
        "too_many_headers",
        b"x",
        status=431,
        rule="RFC 6585 §5",
    )

    for name, body in [
        ("size in upper case", b"A\r\n0123456789\r\n0\r\n\r\n"),
        ("size in lower case", b"a\r\n0123456789\r\n0\r\n\r\n"),
        ("zeros before the size", b"000a\r\n0123456789\r\n0000\r\n\r\n"),
        ("several chunks", b"1\r\n0\r\n5\r\n12345\r\n4\r\n6789\r\n0\r\n\r\n"),
        ("extensions", b'A;a=b;c="d\\"e;f" ; g\r\n0123456789\r\n0;last\r\n\r\n'),
        ("blanks around extensions", b"A \t; a = b\r\n0123456789\r\n0\r\n\r\n"),
    ]:
        yield passed("RFC 9112 §7.1", f"chunks: {name}", post(CHUNKED) + body, *posted(CHUNKED), body=b"0123456789")
    yield passed(
        "RFC 9112 §7.1",
        "data that looks like the end",
        post(CHUNKED) + b"5\r\n0\r\n\r\n\r\n0\r\n\r\n",
        *posted(CHUNKED),
        body=b"0\r\n\r\n",
    )
    yield passed(
        "RFC 9110 §6.5",
        "trailers",
        post(CHUNKED) + b"1\r\nx\r\n0\r\nX-Sum: 7\r\nY:\r\n\r\n",
        *posted(CHUNKED),
        body=b"x",
        trailers=b"X-Sum: 7\r\nY: \r\n",
    )
    forbidden = [
        "Content-Length: 5",
        "Transfer-Encoding: chunked",
        "Host: evil",
        "Connection: close",
        "Authorization: x",
        "Cookie: x",
        "X-Forwarded-For: 1.1.1.1",
        "Content-Type: x",
        "Trailer: x",
        "TE: trailers",
        "X-Request-Id: 1",
        "Expect: 100-continue",
        "Upgrade: h2c",
        "Set-Cookie: x",
    ]
    yield passed(
        "RFC 9110 §6.5.1",
        "trailers that could pass for fields of the head",
        post(CHUNKED) + b"1\r\nx\r\n0\r\n" + lines("X-Sum: 7", *forbidden),
        *posted(CHUNKED),
        body=b"x",
        trailers=b"X-Sum: 7\r\n",
    )


def all_requests() -> list[Request]:
    """Names are unique: a report names the case by them."""
    groups = [
        transfer_encodings,
        content_lengths,
        line_ends,
        fields,
        request_lines,
        targets,
        hosts,
        connects,
        connection_options,
        expectations_and_upgrades,
        chunks,
    ]
    cases = [case for group in groups for case in group()]
    names = [case.name for case in cases]
    repeated = {name for name in names if names.count(name) > 1}
    assert not repeated, repeated
    return cases
