"""Tracing backends: HTTP servers that take spans and keep them, read with libraries that their makers publish."""

import http.server
import json
import threading
import time
from concurrent import futures
from typing import NamedTuple


class Answer(NamedTuple):
    status: int = 200
    fields: dict = {}
    body: bytes = b""


class Collector:
    """Takes POSTs on a port of its own. `answers` says how, with a status or an `Answer`, one after the other; then 200.

    Speaks TLS with a context for it.
    """

    def __init__(self, answers=(), port=0, tls=None):
        # Those that were answered with 200, and when any came.
        self.requests: list[tuple[str, dict, bytes]] = []
        self.arrivals: list[float] = []
        self.answers = list(answers)
        collector = self

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self):
                body = self.rfile.read(int(self.headers["content-length"]))
                collector.arrivals.append(time.time())
                answer = collector.answers.pop(0) if collector.answers else Answer()
                if not isinstance(answer, Answer):
                    answer = Answer(answer)
                if answer.status == 200:
                    headers = {name.lower(): value for name, value in self.headers.items()}
                    collector.requests.append((self.path, headers, body))
                self.send_response(answer.status)
                for name, value in answer.fields.items():
                    self.send_header(name, value)
                self.send_header("content-length", str(len(answer.body)))
                self.end_headers()
                self.wfile.write(answer.body)

            def log_message(self, *_):
                pass

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", port), Handler)
        self.server.daemon_threads = True
        if tls:
            # The handshake is the connection's thread's, which nobody else waits for.
            self.server.socket = tls.wrap_socket(
                self.server.socket, server_side=True, do_handshake_on_connect=False)
        self.port = self.server.server_address[1]
        threading.Thread(target=self.server.serve_forever, args=(0.05,), daemon=True).start()

    def close(self):
        self.server.shutdown()
        self.server.server_close()

    @property
    def zipkin_spans(self) -> list[dict]:
        return [span for _, _, body in self.requests for span in json.loads(body)]

    @property
    def otlp_spans(self) -> list:
        from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

        return otlp_spans(ExportTraceServiceRequest.FromString(body) for _, _, body in self.requests)


class GRPCCollector:
    """Takes OTLP over gRPC on a port of its own. `answers` says with which status codes or responses, one after the other;
    then with the response of full success."""

    def __init__(self, answers=()):
        import grpc
        from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
            ExportTraceServiceRequest,
            ExportTraceServiceResponse,
        )

        # Those that were not answered with a status code.
        self.requests: list[ExportTraceServiceRequest] = []
        self.answers = list(answers)
        collector = self

        class Handler(grpc.GenericRpcHandler):
            def service(self, call):
                if call.method != "/opentelemetry.proto.collector.trace.v1.TraceService/Export":
                    return None
                return grpc.unary_unary_rpc_method_handler(
                    self.export, ExportTraceServiceRequest.FromString, ExportTraceServiceResponse.SerializeToString)

            def export(self, request, context):
                answer = collector.answers.pop(0) if collector.answers else ExportTraceServiceResponse()
                if isinstance(answer, grpc.StatusCode):
                    context.abort(answer, "not yet")
                collector.requests.append(request)
                return answer

        self.server = grpc.server(futures.ThreadPoolExecutor(2), handlers=[Handler()])
        self.port = self.server.add_insecure_port("127.0.0.1:0")
        self.server.start()

    def close(self):
        self.server.stop(None)


def otlp_spans(requests) -> list:
    """All spans of `ExportTraceServiceRequest`s."""
    return [
        span
        for request in requests
        for resource in request.resource_spans
        for scope in resource.scope_spans
        for span in scope.spans
    ]


def otlp_attributes(span) -> dict:
    return {
        attribute.key: getattr(attribute.value, attribute.value.WhichOneof("value")) for attribute in span.attributes
    }
