"""Spans at backends that others wrote."""

import json
import os
import socket
import sys
import time
import unittest
import urllib.parse
import urllib.request
from concurrent import futures

# Zipkin's published classes are older than the protobuf library that others want.
os.environ.setdefault("PROTOCOL_BUFFERS_PYTHON_IMPLEMENTATION", "python")

import boto3
import grpc
import jsonschema
import moto
from opentelemetry.exporter.zipkin.proto.http.v2.gen import zipkin_pb2
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from skywalking.protocol.common.Command_pb2 import Commands
from skywalking.protocol.language_agent.Tracing_pb2_grpc import (
    TraceSegmentReportServiceServicer,
    add_TraceSegmentReportServiceServicer_to_server,
)
from skywalking.trace.carrier import Carrier
from support import cluster, document, free_port
from support.collectors import GRPCCollector, otlp_attributes, otlp_spans
from support.tracing import TRACEPARENT, Service, TracingCase

HEXADECIMAL = "[0-9a-f]"
# What https://zipkin.io/zipkin-api/ says of `POST /api/v2/spans`, with nothing else allowed, and what is always there
# of this proxy's spans.
ZIPKIN_ENDPOINT = {
    "type": "object",
    "additionalProperties": False,
    "properties": {
        "serviceName": {"type": "string"},
        "ipv4": {"type": "string", "format": "ipv4"},
        "ipv6": {"type": "string", "format": "ipv6"},
        "port": {"type": "integer", "minimum": 1, "maximum": 65535},
    },
}
ZIPKIN_SPANS = {
    "type": "array",
    "items": {
        "type": "object",
        "additionalProperties": False,
        "required": ["traceId", "id", "kind", "name", "timestamp", "duration", "localEndpoint", "tags"],
        "properties": {
            "traceId": {"type": "string", "pattern": f"^({HEXADECIMAL}{{16}}|{HEXADECIMAL}{{32}})$"},
            "id": {"type": "string", "pattern": f"^{HEXADECIMAL}{{16}}$"},
            "parentId": {"type": "string", "pattern": f"^{HEXADECIMAL}{{16}}$"},
            "kind": {"enum": ["CLIENT", "SERVER", "PRODUCER", "CONSUMER"]},
            "name": {"type": "string"},
            "timestamp": {"type": "integer", "minimum": 1},
            "duration": {"type": "integer", "minimum": 1},
            "debug": {"type": "boolean"},
            "shared": {"type": "boolean"},
            "localEndpoint": ZIPKIN_ENDPOINT,
            "remoteEndpoint": ZIPKIN_ENDPOINT,
            "annotations": {"type": "array"},
            "tags": {"type": "object", "additionalProperties": {"type": "string"}},
        },
    },
}


class Zipkin(TracingCase):
    def test_spans_are_what_its_schema_wants(self):
        collector = self.collector()
        self.zipkin(
            collector, {"upstream_spans": True, "propagation": ["b3", "w3c"], "tags": {"empty": "%REQ(X-NOT)%"}},
            service=Service([503, 200]),
            routes=[{"match": {}, "cluster": "backend", "retry": {"on": [503], "attempts": 2}}])
        self.get("/?q=%C3%A4%22")
        self.get(x_b3_traceid="00f067aa0ba902b7", x_b3_spanid="00f067aa0ba902b7", x_b3_sampled="1")
        # A client with an IPv6 address, an id of 64 bits, and nobody who answers.
        self.proxy(
            {"upstream_spans": True, "propagation": ["b3"]}, [{"zipkin": {"cluster": "tracer"}}],
            [cluster("tracer", collector.port), cluster("gone", f"[::1]:{free_port()}")], address="[::1]",
            routes=[{"match": {}, "cluster": "gone"}])
        self.get(address="[::1]", b3="00f067aa0ba902b7-00f067aa0ba902b7-d")
        self.spans(collector, 7)
        last = [span["remoteEndpoint"].get("ipv6") for span in collector.zipkin_spans[5:]]
        self.assertEqual(last, ["::1", "::1"])
        checker = jsonschema.FormatChecker()
        for path, headers, body in collector.requests:
            self.assertEqual((path, headers["content-type"]), ("/api/v2/spans", "application/json"))
            jsonschema.validate(json.loads(body), ZIPKIN_SPANS, format_checker=checker)
        self.assertEqual(sum("remoteEndpoint" in span for span in collector.zipkin_spans), 7)

    def test_protobuf(self):
        collector = self.collector()
        self.proxy(
            {}, [{"name": "z", "zipkin": {"cluster": "tracer", "encoding": "protobuf", "headers": {"x-token": "t"}}}],
            [cluster("tracer", collector.port)])
        self.get()
        self.eventually(lambda: collector.requests)
        path, headers, body = collector.requests[0]
        self.assertEqual((path, headers["content-type"]), ("/api/v2/spans", "application/x-protobuf"))
        self.assertEqual(headers["x-token"], "t")
        span = zipkin_pb2.ListOfSpans.FromString(body).spans[0]
        self.assertEqual(span.id.hex(), self.service.requests[0]["traceparent"][36:52])
        self.assertEqual({tag.key: tag.value for tag in span.tags}["http.status_code"], "200")


class OTLP(TracingCase):
    def test_http(self):
        collector = self.collector()
        self.proxy({}, [{"otlp": {"cluster": "tracer"}}], [cluster("tracer", collector.port)])
        self.get(traceparent=TRACEPARENT)
        self.eventually(lambda: collector.requests)
        self.assertEqual(collector.requests[0][0], "/v1/traces")
        request = ExportTraceServiceRequest.FromString(collector.requests[0][2])
        names = {a.key: a.value.string_value for a in request.resource_spans[0].resource.attributes}
        self.assertEqual(names["service.name"], "edge")
        span = collector.otlp_spans[0]
        self.assertEqual(span.trace_id.hex(), TRACEPARENT[3:35])
        self.assertEqual(span.parent_span_id.hex(), TRACEPARENT[36:52])
        self.assertEqual(span.kind, 2)
        self.assertLess(span.start_time_unix_nano, span.end_time_unix_nano)
        self.assertEqual(otlp_attributes(span)["http.status_code"], 200)

    def test_parts_that_come_again_are_those_of_their_span(self):
        collector = self.collector()
        self.proxy(
            {"upstream_spans": True, "max_path_tag_length": 1024, "tags": {"n": "%REQ(X-N)%"}},
            [{"otlp": {"cluster": "tracer"}}], [cluster("tracer", collector.port)], service=Service([200, 503] * 30))
        # Some are too long to be kept, some are not UTF-8, some ids are no UUIDs.
        paths = ["/", "/?a=" + "b" * 900, "/c", "/", "/%C3%A4", "/c"] * 10
        ids = [f"00000000-0000-4000-8000-{n:012}" if n % 3 else f"id {n}" for n in range(60)]
        for n, (path, identity) in enumerate(zip(paths, ids, strict=True)):
            self.get(path, x_request_id=identity, x_n=str(n), user_agent=f"agent {n % 4}")
        self.eventually(lambda: len(collector.otlp_spans) == 120)
        spans = collector.otlp_spans
        servers = {otlp_attributes(span)["n"]: span for span in spans if span.kind == 2}
        tries = {span.parent_span_id: span for span in spans if span.kind == 3}
        self.assertEqual(len({span.span_id for span in spans}), 120)
        for n, (path, identity) in enumerate(zip(paths, ids, strict=True)):
            span = servers[str(n)]
            tags = otlp_attributes(span)
            self.assertEqual(len(tags), len(span.attributes))
            self.assertEqual(tags["http.url"], f"http://a.example{path}")
            self.assertEqual(tags["guid:x-request-id"], identity)
            self.assertEqual(tags["user_agent"], f"agent {n % 4}")
            status = 503 if n % 2 else 200
            self.assertEqual((tags["http.status_code"], span.status.code), (status, 2 if n % 2 else 0))
            self.assertEqual(span.trace_id.hex(), self.service.requests[n]["traceparent"][3:35])
            child = tries[span.span_id]
            self.assertEqual(child.span_id.hex(), self.service.requests[n]["traceparent"][36:52])
            self.assertEqual(otlp_attributes(child)["http.status_code"], status)
            self.assertLessEqual(span.start_time_unix_nano, child.start_time_unix_nano)
            self.assertLessEqual(child.end_time_unix_nano, span.end_time_unix_nano)

    def test_grpc(self):
        collector = GRPCCollector([grpc.StatusCode.UNAVAILABLE])
        self.addCleanup(collector.close)
        self.proxy(
            {}, [{"otlp": {"cluster": "tracer", "protocol": "grpc"}}],
            [cluster("tracer", collector.port, protocol="http2")])
        self.get()
        self.eventually(lambda: collector.requests)
        self.assertEqual(otlp_attributes(otlp_spans(collector.requests)[0])["http.method"], "GET")

    def test_several_backends_get_the_same_trace(self):
        zipkin, otlp = self.collector(), self.collector()
        self.proxy(
            {}, [{"zipkin": {"cluster": "z"}}, {"otlp": {"cluster": "o"}}],
            [cluster("z", zipkin.port), cluster("o", otlp.port)])
        self.get()
        self.eventually(lambda: zipkin.requests and otlp.requests)
        self.assertEqual(zipkin.zipkin_spans[0]["id"], otlp.otlp_spans[0].span_id.hex())

    def test_backends_get_the_same_of_texts_of_every_kind(self):
        zipkin, otlp = self.collector(), self.collector()
        long_tags = {f"long-{n}": "%REQ(X-LONG)%" for n in range(5)}
        self.proxy(
            {"max_path_tag_length": 1024, "tags": long_tags},
            [{"zipkin": {"cluster": "z"}}, {"otlp": {"cluster": "o"}}],
            [cluster("z", zipkin.port), cluster("o", otlp.port)])
        requests = [
            {}, {"target": "/" + "a" * 900}, {"user_agent": "the agent\u00e4"}, {"x_request_id": "no uuid"},
            {"user_agent": "u" * 256, "x_client_trace_id": "c" * 100}, {"x_client_trace_id": "\u00fc" * 20},
            # A span that is longer than those whose lengths are kept.
            {"x_long": "t" * 1000}, {},
        ]
        for fields in requests:
            self.get(**fields)
        self.eventually(lambda: len(zipkin.zipkin_spans) == len(otlp.otlp_spans) == len(requests))
        others = {span["id"]: span for span in zipkin.zipkin_spans}
        for span in otlp.otlp_spans:
            other = others[span.span_id.hex()]
            del other["tags"]["node_id"]
            self.assertEqual({key: str(value) for key, value in otlp_attributes(span).items()}, other["tags"])
            self.assertEqual((span.name, span.trace_id.hex()), (other["name"], other["traceId"]))

    def test_a_listener_says_who_gets_its_spans_and_an_exporter_where_they_go(self):
        wanted, other = self.collector(), self.collector()
        where = {"cluster": "o", "path": "/tenant/v1/traces?key=a", "host": "collector.example:4318"}
        proxy = self.proxy(
            {"exporters": ["mine"]}, [{"zipkin": {"cluster": "z"}}, {"name": "mine", "otlp": where}],
            [cluster("z", other.port), cluster("o", wanted.port)])
        self.get()
        self.eventually(lambda: wanted.requests)
        path, headers, body = wanted.requests[0]
        self.assertEqual((path, headers["host"]), (where["path"], where["host"]))
        self.assertEqual(headers["content-type"], "application/x-protobuf")
        resource = ExportTraceServiceRequest.FromString(body).resource_spans[0].resource
        names = {attribute.key: attribute.value.string_value for attribute in resource.attributes}
        self.assertEqual(names, {"service.name": "edge", "service.instance.id": socket.gethostname()})
        self.assertEqual(proxy.stop(), 0)
        self.assertEqual(other.requests, [])


class Datadog(TracingCase):
    """Against the agent that Datadog tests its tracers with, which checks what it gets."""

    def agent(self) -> int:
        port = free_port()
        self.server(
            os.path.join(os.path.dirname(sys.executable), "ddapm-test-agent"), "--port", str(port),
            "--otlp-http-port", str(free_port()), "--otlp-grpc-port", str(free_port()), "--web-ui-port", "0",
            env=os.environ | {"ENABLED_CHECKS": "trace_count_header,meta_tracer_version_header,trace_content_length"})
        self.wait_listening(port)
        return port

    def ask(self, port: int, path: str):
        with urllib.request.urlopen(f"http://127.0.0.1:{port}{path}", timeout=10) as answer:
            return answer.read()

    def test_its_agent_takes_spans(self):
        self.check_spans({}, "/v0.4/traces")

    def test_its_agent_takes_spans_with_a_table_of_texts(self):
        self.check_spans({"version": "v0.5"}, "/v0.5/traces")

    def check_spans(self, options: dict, path: str):
        agent = self.agent()
        self.proxy(
            {"upstream_spans": True, "propagation": ["datadog"]}, [{"datadog": {"cluster": "agent"} | options}],
            [cluster("agent", agent)], service=Service([200, 500]))
        self.get(x_datadog_trace_id="123456789", x_datadog_parent_id="42", x_datadog_sampling_priority="1",
                 x_datadog_tags="_dd.p.tid=4bf92f3577b34da6")
        self.get()
        traces = self.eventually(
            lambda: len(found := json.loads(self.ask(agent, "/test/traces"))) == 2 and found, "no traces")
        by_id = {trace[0]["trace_id"]: trace for trace in traces}
        server, client = by_id.pop(123456789)
        self.assertEqual((server["parent_id"], client["parent_id"]), (42, server["span_id"]))
        self.assertEqual(server["meta"]["_dd.p.tid"], "4bf92f3577b34da6")
        self.assertEqual((server["service"], server["resource"], server["error"]), ("edge", "a.example", 0))
        self.assertEqual(self.service.requests[0]["x-datadog-parent-id"], str(client["span_id"]))
        (failed,) = by_id.values()
        self.assertEqual([span["error"] for span in failed], [1, 1])
        # An error with the list of them when there are any.
        self.assertIn(b"OK", self.ask(agent, "/test/trace_check/failures"))
        requests = json.loads(self.ask(agent, "/test/session/requests"))
        paths = {urllib.parse.urlsplit(request["url"]).path for request in requests}
        self.assertIn(path, paths)


class SkyWalking(TracingCase):
    def collected(self, formats: list[str]) -> list:
        """Where segments arrive, of a proxy that speaks these formats."""
        segments = []

        class Handler(TraceSegmentReportServiceServicer):
            def collect(self, requests, context):
                segments.extend(requests)
                return Commands()

        server = grpc.server(futures.ThreadPoolExecutor(2))
        add_TraceSegmentReportServiceServicer_to_server(Handler(), server)
        port = server.add_insecure_port("127.0.0.1:0")
        server.start()
        self.addCleanup(server.stop, None)
        self.proxy(
            {"upstream_spans": True, "propagation": formats}, [{"skywalking": {"cluster": "oap"}}],
            [cluster("oap", port, protocol="http2")])
        return segments

    def test_its_collector_takes_segments(self):
        segments = self.collected(["skywalking"])
        caller = Carrier(trace_id="a.57.1", segment_id="b.57.2", span_id="3", service="before",
                         service_instance="i", endpoint="/before", client_address="here:1")
        self.get("/path", sw8=caller.val)
        self.get("/path")
        self.eventually(lambda: len(segments) == 2)
        segment = segments[0]
        self.assertEqual((segment.traceId, segment.service), ("a.57.1", "edge"))
        entry, leaving = segment.spans
        self.assertEqual((entry.spanId, entry.parentSpanId, entry.spanType), (0, -1, 0))
        self.assertEqual((leaving.spanId, leaving.parentSpanId, leaving.spanType), (1, 0, 1))
        self.assertTrue(leaving.peer.startswith("127.0.0.1:"))
        reference = entry.refs[0]
        self.assertEqual(
            (reference.traceId, reference.parentTraceSegmentId, reference.parentSpanId, reference.parentService),
            ("a.57.1", "b.57.2", 3, "before"))
        told = Carrier()
        told.val = self.service.requests[0]["sw8"]
        self.assertTrue(told.is_valid)
        self.assertEqual(
            (told.trace_id, told.segment_id, told.span_id, told.service),
            ("a.57.1", segment.traceSegmentId, "1", "edge"))
        self.assertEqual(len(segments[1].spans[0].refs), 0)
        # What the next proxy makes of it joins the same tree, below the try.
        self.get("/next", sw8=self.service.requests[0]["sw8"])
        self.eventually(lambda: len(segments) == 3)
        reference = segments[2].spans[0].refs[0]
        self.assertEqual(
            (segments[2].traceId, reference.parentTraceSegmentId, reference.parentSpanId, reference.parentService),
            ("a.57.1", segment.traceSegmentId, 1, "edge"))

    def test_its_header_counts_for_the_trace_that_goes_on(self):
        segments = self.collected(["w3c", "skywalking"])
        other = Carrier(trace_id="a.57.1", segment_id="b.57.2", span_id="3", service="before",
                        service_instance="i", endpoint="/before", client_address="here:1")
        same = Carrier(trace_id=TRACEPARENT[3:35], segment_id="b.57.2", span_id="3", service="before",
                       service_instance="i", endpoint="/before", client_address="here:1")
        for caller in (other, same):
            self.get(traceparent=TRACEPARENT, sw8=caller.val)
        self.eventually(lambda: len(segments) == 2)
        self.assertEqual([segment.traceId for segment in segments], [TRACEPARENT[3:35]] * 2)
        self.assertEqual([len(segment.spans[0].refs) for segment in segments], [0, 1])
        for segment, request in zip(segments, self.service.requests, strict=True):
            told = Carrier()
            told.val = request["sw8"]
            self.assertEqual((told.trace_id, told.segment_id), (segment.traceId, segment.traceSegmentId))


class XRay(TracingCase):
    def test_its_daemon_gets_segments_that_aws_takes(self):
        daemon = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.addCleanup(daemon.close)
        daemon.bind(("127.0.0.1", 0))
        daemon.settimeout(10)
        self.proxy(
            {"upstream_spans": True, "propagation": ["xray"]},
            [{"xray": {"address": f"127.0.0.1:{daemon.getsockname()[1]}", "segment_name": "edge proxy"}}],
            service=Service([200, 503]))
        self.get("/path", x_amzn_trace_id="Root=1-5759e988-bd862e3fe1be46a994272793;Parent=53995c3f42cd8ad8;Sampled=1")
        self.get()
        documents = []
        for _ in range(2):
            header, document_ = daemon.recv(65536).split(b"\n", 1)
            self.assertEqual(json.loads(header), {"format": "json", "version": 1})
            documents.append(document_.decode())
        first, second = map(json.loads, documents)
        self.assertEqual(first["trace_id"], "1-5759e988-bd862e3fe1be46a994272793")
        self.assertEqual((first["parent_id"], first["name"]), ("53995c3f42cd8ad8", "edge proxy"))
        self.assertEqual(first["http"]["response"]["status"], 200)
        self.assertEqual(first["subsegments"][0]["id"], self.service.requests[0]["x-amzn-trace-id"][48:64])
        self.assertTrue(second["fault"] and second["subsegments"][0]["fault"])
        self.assertLess(abs(int(second["trace_id"][2:10], 16) - time.time()), 60)
        for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
            os.environ.setdefault(name, "nobody")
        with moto.mock_aws():
            client = boto3.client("xray", region_name="eu-west-1")
            answer = client.put_trace_segments(TraceSegmentDocuments=documents)
            self.assertEqual(answer["UnprocessedTraceSegments"], [])
            traces = client.batch_get_traces(TraceIds=[first["trace_id"], second["trace_id"]])["Traces"]
            self.assertEqual({trace["Id"] for trace in traces}, {first["trace_id"], second["trace_id"]})

    def test_a_daemon_that_is_not_there_hurts_nobody(self):
        proxy = self.proxy({}, [{"xray": {"address": f"127.0.0.1:{free_port()}"}}])
        for _ in range(5):
            self.assertIn("200", self.get())
        self.eventually(
            lambda: proxy.metrics().sum("ringway_tracing_export_requests_total", exporter="xray") == 5)


class Configurations(TracingCase):
    def check(self, http: dict, top: dict, protocol="http1") -> str:
        path = self.folder / "bad.yaml"
        path.write_text(document(
            [{"name": "edge", "address": ":1", "http": {"routes": [{"match": {}, "cluster": "c"}]} | http}],
            [cluster("c", "127.0.0.1:1", protocol=protocol)], **top))
        result = self.command("check", str(path))
        return result.stdout + result.stderr

    def test_mistakes_are_told(self):
        exporter = {"tracing": {"exporters": [{"zipkin": {"cluster": "c"}}]}}
        self.assertIn("unknown exporter \"zipkn\"", self.check({"tracing": {"exporters": ["zipkn"]}}, exporter))
        self.assertIn("unknown operator", self.check({"tracing": {"operation": "%NOTHING%"}}, exporter))
        grpc_exporter = {"tracing": {"exporters": [{"otlp": {"cluster": "c", "protocol": "grpc"}}]}}
        self.assertIn("does not speak HTTP/2", self.check({}, grpc_exporter))
        self.assertIn("ok", self.check({}, grpc_exporter, protocol="http2"))
        twice = {"tracing": {"exporters": [{"zipkin": {"cluster": "c"}}, {"zipkin": {"cluster": "c"}}]}}
        self.assertIn("duplicate exporter name \"zipkin\"", self.check({}, twice))
        self.assertIn("not what every span has", self.check({"tracing": {"tags": {"http.url": "mine"}}}, exporter))


if __name__ == "__main__":
    unittest.main()
