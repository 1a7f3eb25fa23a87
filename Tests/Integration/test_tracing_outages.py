"""Backends that are slow, away, or want nothing of it."""

import ssl
import time
import unittest

from support import cluster, free_port
from support.certificates import Authority
from support.collectors import Collector
from support.peers import sink
from support.tracing import TracingCase


class Outages(TracingCase):
    def test_spans_wait_for_a_backend_that_is_away(self):
        port = free_port()
        proxy = self.proxy(
            {}, [{"zipkin": {"cluster": "tracer"}}], [cluster("tracer", port)])
        self.get()
        self.eventually(
            lambda: proxy.metrics()(
                "ringway_tracing_export_requests_total", exporter="zipkin", result="failed") > 0)
        self.assertEqual(proxy.metrics()("ringway_tracing_spans_waiting", exporter="zipkin"), 1)
        collector = Collector(port=port)
        self.addCleanup(collector.close)
        self.spans(collector, 1)
        self.eventually_equal(
            lambda: proxy.metrics()("ringway_tracing_spans_exported_total", exporter="zipkin"), 1)
        self.assertEqual(proxy.metrics()("ringway_tracing_spans_waiting", exporter="zipkin"), 0)

    def test_a_backend_that_fails_is_asked_again_and_one_that_refuses_is_not(self):
        collector = self.collector([503, 429, 400])
        proxy = self.zipkin(collector)
        self.get()
        self.eventually(lambda: not collector.answers, "the third try did not come")
        self.get()
        self.spans(collector, 1)

        def counted(family, **labels):
            return proxy.metrics()(f"ringway_tracing_{family}_total", exporter="zipkin", **labels)

        self.eventually_equal(lambda: counted("export_requests", result="ok"), 1)
        self.assertEqual(counted("export_requests", result="failed"), 3)
        self.assertEqual(counted("spans_dropped", reason="rejected"), 1)

    def test_one_that_never_answers_holds_up_neither_traffic_nor_the_end(self):
        silent, collector = self.peer(sink), self.collector()
        proxy = self.proxy(
            {}, [{"name": "silent", "zipkin": {"cluster": "silent"}}, {"zipkin": {"cluster": "tracer"}}],
            [cluster("silent", silent), cluster("tracer", collector.port)])
        for _ in range(20):
            self.assertIn("200", self.get())
        self.eventually(lambda: len(collector.zipkin_spans) == 20, "the other backend waits as well")
        self.assertEqual(proxy.metrics()("ringway_tracing_spans_waiting", exporter="silent"), 20)
        self.assertEqual(proxy.stop(), 0)

    def test_what_nobody_exports_any_more_is_dropped_and_counted(self):
        silent, collector = self.peer(sink), self.collector()
        clusters = [cluster("silent", silent), cluster("tracer", collector.port)]
        proxy = self.proxy({}, [{"name": "other", "zipkin": {"cluster": "silent"}}], clusters)
        self.get()
        self.eventually(lambda: silent.accepted)
        before = self.config
        self.assertEqual(proxy.configure(before.replace('"cluster": "silent"', '"cluster": "tracer"')).status, 200)
        self.eventually_equal(
            lambda: proxy.metrics()("ringway_tracing_spans_dropped_total", exporter="other", reason="replaced"), 1)
        self.get()
        self.spans(collector, 1)

    def test_spans_leave_before_the_process_ends(self):
        collector = self.collector()
        proxy = self.zipkin(collector)
        self.get()
        self.assertEqual(proxy.stop(), 0)
        self.assertEqual(len(collector.zipkin_spans), 1)

    def test_a_backend_behind_tls_has_to_be_who_it_says(self):
        authority = Authority(self.folder)
        certificate = authority.issue("collector")
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(certificate.cert, certificate.key)
        collector, unasked = Collector(tls=context), Collector(tls=context)
        self.addCleanup(collector.close)
        self.addCleanup(unasked.close)
        trust = {"ca": str(authority.cert)}
        proxy = self.proxy(
            {}, [{"zipkin": {"cluster": "good"}}, {"name": "wrong", "zipkin": {"cluster": "wrong"}}],
            [cluster("good", collector.port, tls=trust | {"sni": "localhost"}),
             cluster("wrong", unasked.port, tls=trust | {"sni": "somebody.else"})])
        self.get()
        self.spans(collector, 1)
        self.eventually(
            lambda: proxy.metrics()("ringway_tracing_export_requests_total", exporter="wrong", result="failed"))
        self.assertEqual(unasked.requests, [])


if __name__ == "__main__":
    unittest.main()
