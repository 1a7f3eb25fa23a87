"""What a case is."""

from dataclasses import dataclass

from .wire import Message


@dataclass(frozen=True)
class Request:
    """What a client sends, and what may come of it."""

    rule: str
    name: str
    raw: bytes
    #: Of the answer.
    status: int
    #: The label of `ringway_http_requests_refused_total` that counts it; nil for a request that is passed on.
    reason: str | None = None
    #: What the endpoint receives, exactly.
    forwarded: Message | None = None
    #: What the endpoint may have received of a request that turned out bad in its body; never all of it.
    begun: Message | None = None
    #: Nothing behind it is read, although it was served.
    closes: bool = False
    #: Refused for what it asks, not for where it may end: what is behind it is served.
    keeps: bool = False

    def __str__(self):
        return f"{self.name} ({self.rule})"


@dataclass(frozen=True)
class Response:
    """What an endpoint answers, and what the client may see of it."""

    rule: str
    name: str
    raw: bytes
    status: int
    body: bytes = b""
    #: The client can tell that something is missing.
    broken: bool = False
    #: What the endpoint does with its connection behind `raw`: `open`, `close` or `reset`.
    then: str = "open"
    #: The endpoint's connection may serve another request.
    reusable: bool = False
    method: bytes = b"GET"
    #: Of the informational heads in front.
    informational: tuple[int, ...] = ()
    #: Never to be seen by a client, whatever it asked for.
    hidden: bytes = b"evil"
    trailers: bytes = b""
    #: Whether it means the same when it arrives byte by byte. Bytes behind a response that come late, when the next
    #: request is on its way, are the answer to that one: no reader of HTTP/1.1 can tell.
    in_bytes: bool = True

    def __str__(self):
        return f"{self.name} ({self.rule})"
