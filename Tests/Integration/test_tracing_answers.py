"""What backends say of the spans that they were sent."""

import email.utils
import time
import unittest

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTracePartialSuccess,
    ExportTraceServiceResponse,
)
from support import cluster
from support.collectors import Answer, GRPCCollector
from support.tracing import TracingCase


def partial(rejected: int, message="too old") -> ExportTraceServiceResponse:
    return ExportTraceServiceResponse(
        partial_success=ExportTracePartialSuccess(rejected_spans=rejected, error_message=message))


def protobuf(body: bytes, content_type="application/x-protobuf") -> Answer:
    return Answer(200, {"content-type": content_type}, body)


class RetryAfter(TracingCase):
    def test_a_backend_that_names_seconds_is_not_asked_before(self):
        for status in (429, 503):
            with self.subTest(status):
                collector = self.collector([Answer(status, {"retry-after": "2"})])
                self.zipkin(collector)
                self.get()
                self.spans(collector, 1)
                first, second = collector.arrivals
                self.assertGreaterEqual(second - first, 2)

    def test_nor_before_the_date_that_it_names(self):
        date = int(time.time()) + 4
        collector = self.collector([Answer(503, {"retry-after": email.utils.formatdate(date, usegmt=True)})])
        self.zipkin(collector)
        self.get()
        self.spans(collector, 1)
        self.assertGreaterEqual(collector.arrivals[1], date)

    def test_otlp_waits_as_well(self):
        collector = self.collector([Answer(429, {"retry-after": "2"})])
        self.proxy({}, [{"otlp": {"cluster": "tracer"}}], [cluster("tracer", collector.port)])
        self.get()
        self.eventually(lambda: len(collector.otlp_spans) == 1)
        self.assertGreaterEqual(collector.arrivals[1] - collector.arrivals[0], 2)

    def test_a_value_that_says_nothing_is_as_none(self):
        values = ["soon", "-7", "9" * 40, "Sun, 06 Nov 1994 08:49:37 GMT"]
        collector = self.collector([Answer(503, {"retry-after": value}) for value in values])
        self.zipkin(collector)
        self.get()
        self.spans(collector, 1)
        self.assertEqual(len(collector.arrivals), len(values) + 1)

    def test_a_status_of_grpc_that_no_number_holds_hurts_nobody(self):
        collector = self.collector([Answer(200, {"grpc-status": str(2**64 - 1)})])
        self.zipkin(collector)
        for count in (1, 2):
            self.get()
            self.spans(collector, count)


class PartialSuccess(TracingCase):
    def exported(self, collector, otlp=None, **options):
        """A proxy that sends two spans for each request, always together."""
        self.addCleanup(collector.close)
        return self.proxy(
            {"upstream_spans": True}, [{"otlp": {"cluster": "tracer"} | (otlp or {})}],
            [cluster("tracer", collector.port, **options)])

    def check(self, proxy, exported: int, rejected: int):
        """Waits until so many spans were, and looks that no other figure was touched."""
        def counted(name, **labels):
            return proxy.metrics()(f"ringway_tracing_{name}", exporter="otlp", **labels)

        self.eventually_equal(
            lambda: (counted("spans_exported_total"), counted("spans_dropped_total", reason="rejected")),
            (exported, rejected))
        self.assertEqual(counted("spans_waiting"), 0)
        self.assertEqual(counted("export_requests_total", result="failed"), 0)

    def test_spans_that_a_backend_did_not_take_count_as_rejected_and_are_not_sent_again(self):
        collector = self.collector([protobuf(partial(1).SerializeToString())])
        proxy = self.exported(collector)
        self.get()
        self.check(proxy, exported=1, rejected=1)
        self.get()
        self.check(proxy, exported=3, rejected=1)
        self.assertEqual(len(collector.arrivals), 2)

    def test_over_grpc_too(self):
        collector = GRPCCollector([partial(1), partial(2)])
        proxy = self.exported(collector, {"protocol": "grpc"}, protocol="http2")
        self.get()
        self.check(proxy, exported=1, rejected=1)
        self.get()
        self.check(proxy, exported=1, rejected=3)
        self.get()
        self.check(proxy, exported=3, rejected=3)
        self.assertEqual(len(collector.requests), 3)

    def test_no_more_are_rejected_than_were_sent_and_what_is_no_answer_rejects_none(self):
        one = partial(1).SerializeToString()
        answers = [
            (protobuf(partial(2**63 - 1).SerializeToString()), 2),
            (protobuf(one, "Application/X-Protobuf; charset=utf-8"), 1),
            (protobuf(partial(-1).SerializeToString()), 0),
            (protobuf(partial(0, "a warning").SerializeToString()), 0),
            (protobuf(one[:-1]), 0),
            (protobuf(one, "application/json"), 0),
            (protobuf(partial(1, "m" * 70_000).SerializeToString()), 0),
            # It did not take the place of the next one.
            (protobuf(one), 1),
        ]
        collector = self.collector([answer for answer, _ in answers])
        proxy = self.exported(collector)
        total = 0
        for number, (_, rejected) in enumerate(answers, 1):
            self.get()
            total += rejected
            self.check(proxy, exported=2 * number - total, rejected=total)


if __name__ == "__main__":
    unittest.main()
