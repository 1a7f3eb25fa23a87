"""Traces in headers, from one service to the next."""

import binascii
import random
import unittest

from support import cluster, document, free_port
from support.tracing import TRACEPARENT, Service, TracingCase


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
        # It has room for 64 bits.
        self.assertEqual(sent["ot-tracer-traceid"], trace[16:])

    def test_nothing_malformed_fails_a_request(self):
        self.proxy({"propagation": ["w3c", "b3", "datadog", "skywalking", "xray", "opentracing"]})
        for value in ["", "x", "00-" + "0" * 32 + "-" + "0" * 16 + "-01", "-" * 55, "1;" * 300, "\xff" * 40]:
            self.assertIn("200", self.get(
                traceparent=value, b3=value, x_b3_traceid=value, x_datadog_trace_id=value, x_amzn_trace_id=value, sw8=value,
                ot_tracer_traceid=value, tracestate="stale=1", x_request_id=value))
        for request in self.service.requests:
            self.assertRegex(request["traceparent"], "^00-[0-9a-f]{32}-[0-9a-f]{16}-01$")
            self.assertNotIn("tracestate", request)

    def test_without_formats_nobody_is_told(self):
        collector = self.collector()
        self.zipkin(collector, {"propagation": []})
        self.get(traceparent=TRACEPARENT, tracestate="a=b")
        self.get()
        self.assertEqual(
            [(request.get("traceparent"), request.get("tracestate")) for request in self.service.requests],
            [(TRACEPARENT, "a=b"), (None, None)])
        self.assertNotIn(TRACEPARENT[3:35], [span["traceId"] for span in self.spans(collector, 2)])

    def test_every_format_comes_in(self):
        """And in the order that is configured, whatever else is there."""
        fields = {
            "w3c": {"traceparent": "00-" + "1" * 32 + "-00000000000000a1-01"},
            "b3": {"x_b3_traceid": "2" * 32, "x_b3_spanid": "00000000000000a2", "x_b3_sampled": "1"},
            "b3_single": {"b3": "3" * 32 + "-00000000000000a3-1"},
            "datadog": {"x_datadog_trace_id": str(int("4" * 16, 16)), "x_datadog_parent_id": "164",
                        "x_datadog_sampling_priority": "1", "x_datadog_tags": "_dd.p.tid=" + "4" * 16},
            "skywalking": {"sw8": "1-" + "-".join(
                [base64(b"5" * 32), base64(b"segment"), "0", base64(b"s"), base64(b"i"), base64(b"e"), base64(b"a:1")])},
            "xray": {"x_amzn_trace_id": "Root=1-" + "6" * 8 + "-" + "6" * 24 + ";Parent=00000000000000a6;Sampled=1"},
            # Some tracers leave out zeros in front, and some write 128 bits.
            "opentracing": {"ot_tracer_traceid": "7" * 32, "ot_tracer_spanid": "a7", "ot_tracer_sampled": "true"},
        }
        everything = {name: value for format in fields.values() for name, value in format.items()}
        ids = dict(zip(fields, "1234567", strict=True))
        for format in fields:
            with self.subTest(format):
                others = [other for other in fields if other != format]
                self.proxy({"sampling": "0%", "propagation": [format, "w3c"] if format != "w3c" else ["w3c"]})
                self.get(**fields[format])
                sent = self.service.requests[-1]
                self.assertEqual(sent["traceparent"][3:35], ids[format] * 32)
                self.assertTrue(sent["traceparent"].endswith("-01"))
                self.proxy({"sampling": "0%", "propagation": [format, *others]})
                # b3 and b3_single read each other's; one header comes before many.
                first = ids["b3_single"] if format == "b3" else ids[format]
                self.get(**everything)
                self.assertEqual(self.service.requests[-1]["traceparent"][3:35], first * 32)

    def test_b3_decides_without_ids(self):
        collector = self.collector()
        self.zipkin(collector, {"sampling": "0%", "propagation": ["b3", "b3_single", "w3c"]})
        for fields in ({"b3": "1"}, {"b3": "d"}, {"x_b3_sampled": "1"}, {"x_b3_flags": "1"}, {"b3": "0"}, {"b3": "x"}):
            self.get(**fields)
        self.assertEqual(
            [request["b3"].split("-")[2] for request in self.service.requests], ["1", "d", "1", "d", "0", "0"])
        self.spans(collector, 4)
        # From outside it counts for nothing.
        self.proxy({"sampling": "0%", "propagation": ["b3"]}, use_remote_address=True)
        self.get(b3="1")
        self.assertEqual(self.service.requests[0]["x-b3-sampled"], "0")

    def test_what_belongs_to_another_trace_does_not_go_on(self):
        self.proxy({"propagation": ["b3", "datadog", "w3c"]})
        self.get(
            b3="00f067aa0ba902b7-00f067aa0ba902b7-1", x_datadog_tags="_dd.p.tid=4bf92f3577b34da6",
            traceparent=TRACEPARENT, tracestate="a=b")
        sent = self.service.requests[0]
        self.assertEqual(sent["x-datadog-trace-id"], str(0x00F067AA0BA902B7))
        self.assertNotIn("x-datadog-tags", sent)
        self.assertNotIn("tracestate", sent)

    def test_random_bytes_in_trace_headers_fail_no_request(self):
        formats = ["w3c", "b3", "b3_single", "datadog", "skywalking", "xray", "opentracing"]
        good = {
            b"traceparent": TRACEPARENT.encode(), b"tracestate": b"a=b,c=d", b"b3": TRACEPARENT[3:].encode(),
            b"x-b3-traceid": b"4bf92f3577b34da6", b"x-b3-spanid": b"00f067aa0ba902b7", b"x-b3-sampled": b"1",
            b"x-b3-parentspanid": b"00f067aa0ba902b7", b"x-b3-flags": b"1", b"x-datadog-trace-id": b"123456789",
            b"x-datadog-parent-id": b"42", b"x-datadog-sampling-priority": b"2",
            b"x-datadog-tags": b"_dd.p.dm=-1,_dd.p.tid=4bf92f3577b34da6",
            b"sw8": b"1-YS41Ny4x-Yi41Ny4y-3-YmVmb3Jl-aQ==-L2JlZm9yZQ==-aGVyZTox",
            b"x-amzn-trace-id": b"Root=1-5759e988-bd862e3fe1be46a994272793;Parent=53995c3f42cd8ad8;Sampled=1",
            b"ot-tracer-traceid": b"4bf92f3577b34da6", b"ot-tracer-spanid": b"00f067aa0ba902b7",
            b"ot-tracer-sampled": b"true", b"x-request-id": b"7b674932-635d-4ceb-b907-12674f8c7267",
            b"x-client-trace-id": b"c", b"x-envoy-force-trace": b"1", b"x-envoy-decorator-operation": b"name",
        }
        # What a field value may hold (RFC 9110 §5.5).
        allowed = bytes([9, *range(0x20, 0x7F), *range(0x80, 0x100)])
        seed = random.randrange(1 << 32)
        dice = random.Random(seed)
        collector = self.collector()
        proxy = self.proxy(
            {"propagation": formats, "upstream_spans": True}, [{"zipkin": {"cluster": "tracer"}}],
            [cluster("tracer", collector.port)], pack_trace_reason=True)

        def value(text: bytes) -> bytes:
            text = bytearray(text)
            for _ in range(dice.choice([0, 1, 1, 2, 8])):
                place = dice.randrange(len(text) + 1)
                match dice.randrange(4):
                    case 0: text[place:place] = bytes(dice.choices(allowed, k=dice.choice([1, 2, 40, 2000])))
                    case 1: del text[place:]
                    case 2: text[place:place + 1] = bytes(dice.choices(b"0123456789abcdefABCDEF-;=,", k=1))
                    case 3: text[place:place] = text
                text = text[:3000]
            return bytes(text)

        with self.subTest(seed=seed):
            client = self.connect(self.port)
            count = 400
            for number in range(count):
                names = dice.sample(list(good), dice.randint(1, len(good)))
                names += dice.choices(names, k=dice.choice([0, 0, 1]))
                lines = [name + b": " + value(good[name]) for name in names]
                client.sendall(b"\r\n".join([b"GET /%d HTTP/1.1" % number, b"Host: a", *lines, b"", b""]))
                answer = b""
                while not answer.endswith(b"\r\n\r\nok"):
                    answer += client.recv(65536) or self.fail(f"the connection ended at {lines}")
                self.assertTrue(answer.startswith(b"HTTP/1.1 200"), lines)
            for request in self.service.requests:
                self.assertRegex(request["traceparent"], "^00-(?!0{32})[0-9a-f]{32}-(?!0{16})[0-9a-f]{16}-0[01]$")
                trace = request["traceparent"][3:35]
                self.assertEqual(request["b3"].split("-")[0], trace if trace[:16] != "0" * 16 else trace[16:])
                self.assertEqual(request["x-datadog-trace-id"], str(int(trace[16:], 16)))
            self.eventually(
                lambda: proxy.metrics().sum("ringway_tracing_spans_exported_total", exporter="zipkin") > 0)


class Tree(TracingCase):
    def calling(self, port: int):
        """A service that calls another one at `port` and hands on the trace, as instrumented services do."""
        own = ("x-request-id", "traceparent", "b3", "x-b3", "x-datadog", "x-amzn", "ot-tracer")

        def script(sock):
            data = b""
            while b"\r\n\r\n" not in data:
                data += sock.recv(65536)
            lines = data.decode().split("\r\n\r\n")[0].split("\r\n")[1:]
            fields = dict(line.split(": ", 1) for line in lines)
            self.get("/inner", port=port, **{
                name.replace("-", "_"): value for name, value in fields.items() if name.lower().startswith(own)})
            sock.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")

        return script

    def test_edge_sidecar_service_sidecar_make_one_tree(self):
        """edge → sidecar → service, which calls through another sidecar, as each hop tells the next."""
        collector = self.collector()
        service = Service()
        ports = [free_port(), free_port(), free_port()]

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
        start(1, self.peer(self.calling(ports[2])), "incoming")
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

    def test_the_tree_grows_in_every_format(self):
        """The same hops as listeners of one process, each telling the next in one format only."""
        # SkyWalking joins by segments, which its header names: see its exporter.
        for format in ["w3c", "b3", "b3_single", "datadog", "xray", "opentracing"]:
            with self.subTest(format):
                self.check_tree(format)

    def check_tree(self, format: str):
        collector = self.collector()
        ports = {name: free_port() for name in ("edge", "incoming", "outgoing")}

        targets = {"edge": "incoming", "incoming": "middle", "outgoing": "service"}
        tracing = {"upstream_spans": True, "propagation": [format]}
        self.ringway(document(
            [{"name": name, "address": f"127.0.0.1:{port}", "http": {
                "routes": [{"match": {}, "cluster": targets[name]}], "tracing": tracing}}
             for name, port in ports.items()],
            [cluster("incoming", ports["incoming"]), cluster("middle", self.peer(self.calling(ports["outgoing"]))),
             cluster("service", self.peer(Service())), cluster("tracer", collector.port)],
            tracing={"exporters": [{"zipkin": {"cluster": "tracer"}}]}))
        self.get("/", port=ports["edge"])
        spans = self.spans(collector, 6)
        self.assertEqual(len({span["traceId"] for span in spans}), 1)
        children = {span.get("parentId"): span for span in spans}
        self.assertEqual(len(children), 6, "one child each, and one root")
        chain, current = [], children[None]
        while current:
            chain.append((current["tags"].get("listener"), current["tags"]["upstream_cluster"]))
            current = children.get(current["id"])
        self.assertEqual(chain, [
            ("edge", "incoming"), (None, "incoming"), ("incoming", "middle"), (None, "middle"),
            ("outgoing", "service"), (None, "service")])


def base64(data: bytes) -> str:
    return binascii.b2a_base64(data, newline=False).decode()


if __name__ == "__main__":
    unittest.main()
