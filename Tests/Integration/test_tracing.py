"""Tracing: ids, decisions, headers from one service to the next, and spans at backends that others wrote."""

import json
import os
import re
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
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTraceServiceRequest,
    ExportTraceServiceResponse,
)
from skywalking.protocol.common.Command_pb2 import Commands
from skywalking.protocol.language_agent.Tracing_pb2_grpc import (
    TraceSegmentReportServiceServicer,
    add_TraceSegmentReportServiceServicer_to_server,
)
from skywalking.trace.carrier import Carrier
from support import Case, cluster, document, free_port, read_to_end
from support.collectors import Collector, otlp_attributes, otlp_spans

UUID = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}")
TRACEPARENT = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"


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
        "port": {"type": "integer", "minimum": 0, "maximum": 65535},
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


class Service:
    """Answers each request and remembers its header fields; statuses come from `answers`, then 200."""

    def __init__(self, answers=(), fields=()):
        self.requests: list[dict] = []
        self.answers = list(answers)
        # More fields of the responses, one after the other.
        self.fields = list(fields)

    def __call__(self, sock):
        pending = b""
        while data := sock.recv(65536):
            pending += data
            while b"\r\n\r\n" in pending:
                head, pending = pending.split(b"\r\n\r\n", 1)
                lines = head.decode().split("\r\n")[1:]
                self.requests.append({k.lower(): v for k, v in (line.split(": ", 1) for line in lines)})
                status = self.answers.pop(0) if self.answers else 200
                more = self.fields.pop(0) if self.fields else b""
                sock.sendall(
                    b"HTTP/1.1 %d Some\r\nContent-Length: 2\r\nX-Version: 7\r\n%s\r\nok" % (status, more))


class TracingCase(Case):
    def collector(self, answers=()) -> Collector:
        collector = Collector(answers)
        self.addCleanup(collector.close)
        return collector

    def proxy(self, tracing=None, exporters=None, clusters=(), routes=None, service=None, name="edge", **http):
        self.port = free_port()
        self.service = service or Service()
        clusters = [cluster("backend", self.peer(self.service)), *clusters]
        routes = routes or [{"match": {}, "cluster": "backend"}]
        http = {"routes": routes} | ({} if tracing is None else {"tracing": tracing}) | http
        top = {"tracing": {"service_name": "edge", "exporters": exporters}} if exporters else {}
        self.config = document(
            [{"name": name, "address": f"127.0.0.1:{self.port}", "http": http}], clusters, **top)
        self.process = self.ringway(self.config)
        return self.process

    def zipkin(self, collector, tracing=None, **more):
        return self.proxy(
            {"sampling": "100%"} | (tracing or {}), [{"zipkin": {"cluster": "tracer"}}],
            [cluster("tracer", collector.port)], **more)

    def get(self, target="/", port=None, **fields: str) -> str:
        lines = [f"GET {target} HTTP/1.1", "Host: a.example", "Connection: close"]
        lines += [f"{name.replace('_', '-')}: {value}" for name, value in fields.items()]
        client = self.connect(port or self.port)
        client.sendall("\r\n".join(lines).encode() + b"\r\n\r\n")
        return read_to_end(client).decode()

    def spans(self, collector, count: int) -> list[dict]:
        self.eventually(lambda: len(collector.zipkin_spans) >= count, f"there are not {count} spans")
        self.assertEqual(len(collector.zipkin_spans), count)
        return collector.zipkin_spans


class RequestIDs(TracingCase):
    def test_an_id_is_made_and_an_empty_one_replaced(self):
        self.proxy()
        self.get()
        self.get(x_request_id="")
        for request in self.service.requests:
            self.assertRegex(request["x-request-id"], UUID)

    def test_trust_decides_whether_an_id_is_kept(self):
        self.proxy(use_remote_address=True)
        self.get(x_request_id="mine")
        self.assertRegex(self.service.requests[0]["x-request-id"], UUID)
        self.proxy(use_remote_address=True, preserve_external_request_id=True)
        self.get(x_request_id="mine")
        self.assertEqual(self.service.requests[0]["x-request-id"], "mine")
        self.proxy(use_remote_address=True, internal_addresses=["127.0.0.0/8"])
        self.get(x_request_id="mine")
        self.assertEqual(self.service.requests[0]["x-request-id"], "mine")
        self.assertEqual(self.service.requests[0]["x-envoy-internal"], "true")

    def test_the_response_carries_the_id(self):
        self.proxy(always_set_request_id_in_response=True)
        self.assertIn("x-request-id: mine\r\n", self.get(x_request_id="mine"))

    def test_the_reason_is_packed_into_the_id(self):
        uuid = "7b674932-635d-4ceb-b907-12674f8c7267"
        self.proxy({"sampling": "100%"}, pack_trace_reason=True)
        self.get(x_request_id=uuid)
        self.assertEqual(self.service.requests[0]["x-request-id"], "7b674932-635d-9ceb-b907-12674f8c7267")
        self.get(x_request_id=uuid, x_client_trace_id="c")
        self.assertEqual(self.service.requests[1]["x-request-id"], "7b674932-635d-bceb-b907-12674f8c7267")
        self.proxy({"sampling": "0%"}, pack_trace_reason=True)
        self.get(x_request_id="7b674932-635d-aceb-b907-12674f8c7267")
        self.assertEqual(self.service.requests[0]["x-request-id"], "7b674932-635d-aceb-b907-12674f8c7267")
        self.assertTrue(self.service.requests[0]["traceparent"].endswith("-01"))
        # From outside it means nothing.
        self.proxy(
            {"sampling": "0%"}, pack_trace_reason=True, use_remote_address=True, preserve_external_request_id=True)
        self.get(x_request_id="7b674932-635d-aceb-b907-12674f8c7267")
        self.assertEqual(self.service.requests[0]["x-request-id"], uuid)


class Decisions(TracingCase):
    def flags(self) -> list[str]:
        return [request["traceparent"][-2:] for request in self.service.requests]

    def test_any_id_is_sampled_the_same_way_everywhere(self):
        ids = [f"018f3a{number:06x}-opaque" for number in range(200)]
        answers = []
        for _ in range(2):
            self.proxy({"sampling": "30%"})
            for id in ids:
                self.get(x_request_id=id)
            answers.append(self.flags())
        self.assertEqual(answers[0], answers[1])
        self.assertGreater(answers[0].count("01"), 20)
        self.assertLess(answers[0].count("01"), 120)

    def test_a_client_joins_its_trace_and_only_friends_force_one(self):
        self.proxy({"sampling": "0%"}, use_remote_address=True)
        self.get()
        self.get(x_client_trace_id="mine")
        self.get(x_envoy_force_trace="1")
        self.assertEqual(self.flags(), ["00", "01", "00"])
        self.proxy(
            {"sampling": "0%"}, use_remote_address=True, internal_addresses=["127.0.0.1"])
        answer = self.get(x_envoy_force_trace="1")
        self.assertEqual(self.flags(), ["01"])
        self.assertIn("x-request-id: ", answer)

    def test_a_callers_decision_counts_behind_a_proxy_only(self):
        self.proxy({"sampling": "0%"})
        self.get(traceparent=TRACEPARENT)
        self.assertEqual(self.flags(), ["01"])
        self.assertEqual(self.service.requests[0]["traceparent"][3:35], TRACEPARENT[3:35])
        self.proxy({"sampling": "100%"})
        self.get(traceparent=TRACEPARENT[:-2] + "00")
        self.assertEqual(self.flags(), ["00"])
        self.proxy({"sampling": "0%"}, use_remote_address=True)
        self.get(traceparent=TRACEPARENT)
        self.assertEqual(self.flags(), ["00"])

    def test_a_manifest_has_rules_by_path_and_method(self):
        rule = {"host": "*.EXAMPLE", "http_method": "*", "url_path": "/a*c?", "fixed_target": 0, "rate": 1}
        path = self.folder / "rules.json"
        never = {"url_path": "/never*", "fixed_target": 0, "rate": 0}
        path.write_text(json.dumps(
            {"version": 2, "rules": [rule, never], "default": {"fixed_target": 1, "rate": 0}}))
        self.proxy({"sampling_rules": str(path)})
        for target in ["/abcd"] * 10 + ["/never/ever"] * 10 + ["/abc"]:
            self.get(target)
        self.assertEqual(self.flags(), ["01"] * 10 + ["00"] * 10 + ["01"])
        path.write_text('{"version": 1,\n "default": {"fixed_target": 1, "rate": 2}}')
        said = self.command("check", str(self.folder / "ringway.yaml")).stderr
        self.assertIn(f"{path}:1:13: error:", said)
        self.assertIn(f"{path}:2:41: error:", said)

    def test_the_decision_is_explained(self):
        proxy = self.proxy({"sampling": "30%"})

        def explained(*headers: str) -> str:
            query = "".join(f"&header={urllib.parse.quote(header)}" for header in headers)
            steps = json.loads(proxy.admin(f"/explain?format=json&url=http://a/{query}").text)["steps"]
            return next(step["text"] for step in steps if step["kind"] == "trace")

        self.assertEqual(explained(), "30% of such requests, by their ids; 100% at most")
        self.assertEqual(explained(f"traceparent: {TRACEPARENT}", "x-request-id: a"), "yes, its caller traces it")
        self.assertEqual(
            explained("x-request-id: a"), "yes, its id has the number 221119 of 1000000, sampling is 30%")
        self.assertEqual(
            explained("x-request-id: b"),
            "no, its id has the number 567565 of 1000000, sampling is 30%, overall 100%")

    def test_the_overall_share_is_above_all(self):
        self.proxy({"sampling": "100%", "overall_sampling": "0%"})
        self.get(x_client_trace_id="mine")
        self.assertEqual(self.flags(), ["00"])

    def test_shares_change_without_a_reload(self):
        proxy = self.proxy(
            {"sampling": "0%"},
            routes=[
                {"name": "api", "match": {"path_prefix": "/api"}, "cluster": "backend", "tracing": {"sampling": "0%"}},
                {"match": {"path_prefix": "/off"}, "cluster": "backend", "tracing": "off"},
                {"match": {}, "cluster": "backend"},
            ])
        self.get("/")
        self.assertEqual(proxy.admin("/tracing?listener=edge&sampling=100%25", "POST").status, 200)
        self.get("/")
        self.get("/api")
        self.assertEqual(proxy.admin("/tracing?listener=edge&route=api&sampling=100%25", "POST").status, 200)
        self.get("/api")
        self.get("/off")
        self.assertEqual(proxy.admin("/tracing?listener=edge&reset", "POST").status, 200)
        self.get("/")
        self.assertEqual(self.flags(), ["00", "01", "00", "01", "00", "00"])
        self.assertEqual(proxy.admin("/tracing?listener=nobody&sampling=1%25", "POST").status, 404)
        self.assertEqual(proxy.admin("/tracing?listener=edge&sampling=many", "POST").status, 400)
        shown = json.loads(proxy.admin("/tracing", "GET").body)
        self.assertEqual(
            [(entry["route"], entry["sampling"], entry["changed"]) for entry in shown["sampling"]][:2],
            [(None, "0%", False), ("api", "100%", True)])


class Propagation(TracingCase):
    def test_every_format_goes_out_at_once(self):
        self.proxy({"propagation": ["w3c", "b3", "b3_single", "datadog", "skywalking", "xray", "opentracing"]})
        self.get(traceparent=TRACEPARENT, tracestate="a=b")
        sent = self.service.requests[0]
        trace, span = sent["traceparent"][3:35], sent["traceparent"][36:52]
        self.assertEqual(trace, TRACEPARENT[3:35])
        self.assertNotEqual(span, TRACEPARENT[36:52])
        self.assertEqual(sent["tracestate"], "a=b")
        self.assertEqual(sent["b3"], f"{trace}-{span}-1-00f067aa0ba902b7")
        self.assertEqual(sent["x-datadog-trace-id"], str(int(trace[16:], 16)))
        self.assertEqual(sent["x-datadog-tags"], "_dd.p.tid=" + trace[:16])
        self.assertEqual(sent["x-datadog-parent-id"], str(int(span, 16)))
        self.assertEqual(sent["x-amzn-trace-id"], f"Root=1-{trace[:8]}-{trace[8:]};Parent={span};Sampled=1")
        self.assertEqual(sent["ot-tracer-traceid"], trace)

    def test_nothing_malformed_fails_a_request(self):
        self.proxy({"propagation": ["w3c", "b3", "datadog", "skywalking", "xray", "opentracing"]})
        for value in ["", "x", "00-" + "0" * 32 + "-" + "0" * 16 + "-01", "-" * 55, "1;" * 300, "\xff" * 40]:
            self.assertIn("200", self.get(
                traceparent=value, b3=value, x_b3_traceid=value, x_datadog_trace_id=value, x_amzn_trace_id=value, sw8=value,
                ot_tracer_traceid=value, tracestate="stale=1", x_request_id=value))
        for request in self.service.requests:
            self.assertRegex(request["traceparent"], "^00-[0-9a-f]{32}-[0-9a-f]{16}-01$")
            self.assertNotIn("tracestate", request)


class Zipkin(TracingCase):
    def test_a_span_says_what_envoys_say(self):
        collector = self.collector()
        self.zipkin(collector, {"tags": {"team": "web-%REQ(X-TEAM)%", "version": "%RESP(X-VERSION)%"}})
        before = time.time() * 1e6
        self.get("/some/path?q=1", x_request_id="mine", x_team="one", User_Agent="test", x_client_trace_id="c")
        span = self.spans(collector, 1)[0]
        tags = span["tags"]
        self.assertEqual(span["kind"], "SERVER")
        self.assertEqual(span["name"], "a.example")
        self.assertEqual(span["localEndpoint"], {"serviceName": "edge"})
        self.assertEqual(span["traceId"], self.service.requests[0]["traceparent"][3:35])
        self.assertEqual(span["id"], self.service.requests[0]["traceparent"][36:52])
        self.assertLess(abs(span["timestamp"] - before), 20e6)
        expected = {
            "component": "proxy", "guid:x-request-id": "mine", "guid:x-client-trace-id": "c",
            "http.method": "GET", "http.url": "http://a.example/some/path?q=1", "http.protocol": "HTTP/1.1",
            "http.status_code": "200", "user_agent": "test", "downstream_cluster": "-", "response_flags": "-",
            "upstream_cluster": "backend", "upstream_cluster.name": "backend", "request_size": "0",
            "response_size": "2", "team": "web-one", "version": "7",
        }
        self.assertEqual({key: tags.get(key) for key in expected}, expected)
        self.assertTrue(tags["upstream_address"].startswith("127.0.0.1:"))
        self.assertTrue(tags["peer.address"].startswith("127.0.0.1:"))

    def test_spans_are_what_its_schema_wants(self):
        collector = self.collector()
        self.zipkin(
            collector, {"upstream_spans": True, "propagation": ["b3", "w3c"], "tags": {"empty": "%REQ(X-NOT)%"}},
            service=Service([503, 200]),
            routes=[{"match": {}, "cluster": "backend", "retry": {"on": [503], "attempts": 2}}])
        self.get("/?q=%C3%A4%22")
        self.get(x_b3_traceid="00f067aa0ba902b7", x_b3_spanid="00f067aa0ba902b7", x_b3_sampled="1")
        self.spans(collector, 5)
        checker = jsonschema.FormatChecker()
        for path, headers, body in collector.requests:
            self.assertEqual((path, headers["content-type"]), ("/api/v2/spans", "application/json"))
            jsonschema.validate(json.loads(body), ZIPKIN_SPANS, format_checker=checker)
        self.assertEqual(sum("remoteEndpoint" in span for span in collector.zipkin_spans), 5)

    def test_each_try_is_a_span(self):
        collector = self.collector()
        self.zipkin(
            collector, {"upstream_spans": True}, service=Service([503]),
            routes=[{"match": {}, "cluster": "backend", "retry": {"on": [503], "attempts": 2}}])
        self.get()
        server, first, second = self.spans(collector, 3)
        self.assertEqual([server["kind"], first["kind"], second["kind"]], ["SERVER", "CLIENT", "CLIENT"])
        self.assertEqual([first["parentId"], second["parentId"]], [server["id"]] * 2)
        self.assertEqual([first["tags"]["http.status_code"], first["tags"]["error"]], ["503", "true"])
        self.assertEqual([second["tags"]["http.status_code"], second["tags"]["retry.count"]], ["200", "1"])
        self.assertEqual(
            [request["traceparent"][36:52] for request in self.service.requests], [first["id"], second["id"]])

    def test_names_come_from_requests_routes_and_formats(self):
        collector = self.collector()
        routes = [
            {"match": {"path": "/named"}, "cluster": "backend", "tracing": {"operation": "search"}},
            {"match": {}, "cluster": "backend"}]
        self.zipkin(collector, routes=routes)
        self.get("/named")
        self.get("/named", x_envoy_decorator_operation="better")
        self.get("/")
        names = [span["name"] for span in self.spans(collector, 3)]
        self.assertEqual(names, ["search", "better", "a.example"])
        collector = self.collector()
        self.zipkin(collector, {"operation": "%REQ(:METHOD)% %REQ(:PATH)%"}, routes=routes)
        self.get("/named", x_envoy_decorator_operation="better")
        self.assertEqual(self.spans(collector, 1)[0]["name"], "GET /named")

    def test_operations_are_told_to_both_sides(self):
        collector = self.collector()
        routes = [
            {"match": {"path": "/told"}, "cluster": "backend",
             "tracing": {"operation": "search", "propagate_operation": True}},
            {"match": {}, "cluster": "backend", "tracing": {"operation": "mine"}}]
        service = Service(fields=[b"X-Envoy-Decorator-Operation: index.find\r\n", b"", b""])
        self.zipkin(collector, {"upstream_spans": True}, service=service, routes=routes)
        told = self.get("/told")
        self.assertIn("x-envoy-decorator-operation: search\r\n", told)
        self.assertNotIn("index.find", told)
        self.assertNotIn("x-envoy-decorator-operation", self.get("/"))
        self.assertEqual(
            [request.get("x-envoy-decorator-operation") for request in service.requests], ["search", None])
        names = [(span["kind"], span["name"]) for span in self.spans(collector, 4)]
        self.assertEqual(names, [("SERVER", "search"), ("CLIENT", "index.find"), ("SERVER", "mine"),
                                 ("CLIENT", "router backend egress")])
        # A stranger is told nothing.
        self.zipkin(collector, routes=routes, use_remote_address=True)
        self.assertNotIn("x-envoy-decorator-operation", self.get("/told"))

    def test_errors_and_slow_requests_are_exported_within_a_rate(self):
        collector = self.collector()
        proxy = self.zipkin(
            collector, {"sampling": "0%", "late": {"per_second": 3}}, service=Service([200] + [500] * 40))
        for _ in range(40):
            self.get()
        self.eventually(lambda: len(collector.zipkin_spans) >= 3)
        dropped = proxy.metrics()("ringway_tracing_records_dropped_total", listener="edge", reason="late_limit")
        late = proxy.metrics()("ringway_tracing_decisions_total", listener="edge", reason="late")
        self.assertEqual(dropped + late, 39)
        self.assertGreater(dropped, 0)
        spans = self.spans(collector, int(late))
        self.assertTrue(all(span["tags"]["error"] == "true" for span in spans))
        self.assertTrue(all(span["tags"]["sampling.late"] == "true" for span in spans))

    def test_what_the_health_check_filter_answers_leaves_no_span(self):
        collector = self.collector()
        self.zipkin(collector, filters=[{"health_check": {"path": "/healthz"}}])
        self.get("/healthz")
        self.get("/other")
        self.assertEqual(self.spans(collector, 1)[0]["tags"]["http.url"], "http://a.example/other")

    def test_answers_of_filters_leave_spans_too(self):
        collector = self.collector()
        self.zipkin(collector, routes=[{"match": {}, "respond": {"status": 503}}])
        self.get()
        span = self.spans(collector, 1)[0]
        self.assertEqual([span["tags"]["http.status_code"], span["tags"]["error"]], ["503", "true"])

    def test_logs_carry_the_ids(self):
        collector = self.collector()
        path = str(self.folder / "log")
        self.zipkin(collector, access_log=[{"path": path, "format": "%TRACE_ID% %SPAN_ID%"}])
        self.get()
        span = self.spans(collector, 1)[0]
        self.eventually(lambda: open(path).read())
        self.assertEqual(open(path).read(), f"{span['traceId']} {span['id']}\n")

    def test_spans_wait_for_a_backend_that_is_away(self):
        port = free_port()
        self.proxy(
            {}, [{"zipkin": {"cluster": "tracer"}}], [cluster("tracer", port)])
        self.get()
        time.sleep(0.8)
        collector = Collector(port=port)
        self.addCleanup(collector.close)
        self.spans(collector, 1)

    def test_a_backend_that_fails_is_asked_again_and_one_that_refuses_is_not(self):
        collector = self.collector([503, 400])
        self.zipkin(collector)
        self.get()
        self.eventually(lambda: not collector.answers, "the second try did not come")
        self.get()
        self.spans(collector, 1)

    def test_spans_leave_before_the_process_ends(self):
        collector = self.collector()
        proxy = self.zipkin(collector)
        self.get()
        self.assertEqual(proxy.stop(), 0)
        self.assertEqual(len(collector.zipkin_spans), 1)

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
        received = []
        refusals = [grpc.StatusCode.UNAVAILABLE]

        class Handler(grpc.GenericRpcHandler):
            def service(self, call):
                self_path = "/opentelemetry.proto.collector.trace.v1.TraceService/Export"
                return grpc.unary_unary_rpc_method_handler(
                    self.export, ExportTraceServiceRequest.FromString,
                    ExportTraceServiceResponse.SerializeToString) if call.method == self_path else None

            def export(self, request, context):
                if refusals:
                    context.abort(refusals.pop(), "not yet")
                received.append(request)
                return ExportTraceServiceResponse()

        server = grpc.server(futures.ThreadPoolExecutor(2), handlers=[Handler()])
        port = server.add_insecure_port("127.0.0.1:0")
        server.start()
        self.addCleanup(server.stop, None)
        self.proxy(
            {}, [{"otlp": {"cluster": "tracer", "protocol": "grpc"}}], [cluster("tracer", port, protocol="http2")])
        self.get()
        self.eventually(lambda: received)
        self.assertEqual(otlp_attributes(otlp_spans(received)[0])["http.method"], "GET")

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
    def test_its_collector_takes_segments(self):
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
            {"upstream_spans": True, "propagation": ["skywalking"]}, [{"skywalking": {"cluster": "oap"}}],
            [cluster("oap", port, protocol="http2")])
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


class Tree(TracingCase):
    def test_edge_sidecar_service_sidecar_make_one_tree(self):
        """edge → sidecar → service, which calls through another sidecar, as each hop tells the next."""
        collector = self.collector()
        service = Service()
        ports = [free_port(), free_port(), free_port()]

        def middle(sock):
            """A service that calls another one and hands on the trace, as instrumented services do."""
            data = b""
            while b"\r\n\r\n" not in data:
                data += sock.recv(65536)
            fields = dict(
                line.split(": ", 1) for line in data.decode().split("\r\n\r\n")[0].split("\r\n")[1:])
            kept = {k.replace("-", "_"): v for k, v in fields.items() if k in ("traceparent", "x-request-id")}
            self.get("/inner", port=ports[2], **kept)
            sock.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")

        def start(index, target, name, **http):
            config = document(
                [{"name": name, "address": f"127.0.0.1:{ports[index]}", "http": {
                    "routes": [{"match": {}, "cluster": "next"}],
                    "tracing": {"upstream_spans": True}} | http}],
                [cluster("next", target), cluster("tracer", collector.port)],
                tracing={"service_name": name, "exporters": [{"zipkin": {"cluster": "tracer"}}]})
            self.folder.joinpath(name).mkdir()
            path = self.folder / name / "ringway.yaml"
            path.write_text(config)
            self.started("run", str(path))

        start(2, self.peer(service), "outgoing")
        start(1, self.peer(middle), "incoming")
        start(0, ports[1], "edge", use_remote_address=True)
        self.get("/", port=ports[0])
        spans = self.spans(collector, 6)
        self.assertEqual(len({span["traceId"] for span in spans}), 1)
        by_id = {span["id"]: span for span in spans}
        chain = []
        current = next(span for span in spans if span["id"] == service.requests[0]["traceparent"][36:52])
        while current:
            chain.append((current["localEndpoint"]["serviceName"], current["kind"]))
            current = by_id.get(current.get("parentId"))
        self.assertEqual(chain, [
            ("outgoing", "CLIENT"), ("outgoing", "SERVER"), ("incoming", "CLIENT"), ("incoming", "SERVER"),
            ("edge", "CLIENT"), ("edge", "SERVER")])


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


if __name__ == "__main__":
    unittest.main()
