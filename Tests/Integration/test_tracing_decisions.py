"""Which requests are traced, and what request ids have to do with it."""

import json
import unittest
import urllib.parse

from support.metrics import Metrics
from support.tracing import TRACEPARENT, UUID, TracingCase


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

    def flag(self, target="/", **fields: str) -> str:
        """What becomes of one more request."""
        self.get(target, **fields)
        return self.flags()[-1]

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
        refused = proxy.admin("/tracing?listener=edge&sampling=1%25&overall=1%25", "POST")
        self.assertEqual((refused.status, refused.text), (400, "unknown parameter overall\n"))
        shown = json.loads(proxy.admin("/tracing", "GET").body)
        self.assertEqual(
            [(entry["route"], entry["sampling"], entry["changed"]) for entry in shown["sampling"]][:2],
            [(None, "0%", False), ("api", "100%", True)])

    def test_every_share_changes_at_run_time_for_listeners_and_routes(self):
        own = {"sampling": "0%", "client_sampling": "0%", "overall_sampling": "100%"}
        proxy = self.proxy(
            {"sampling": "0%", "client_sampling": "0%"},
            routes=[
                {"name": "own", "match": {"path": "/own"}, "cluster": "backend", "tracing": own},
                # Has something of its own, but no shares.
                {"name": "named", "match": {"path": "/named"}, "cluster": "backend", "tracing": {"operation": "x"}},
                {"match": {}, "cluster": "backend"},
            ])

        def change(query: str):
            self.assertEqual(proxy.admin(f"/tracing?listener=edge{query}", "POST").status, 200)

        def flags() -> list[str]:
            """Of requests that chance decides about, then of those with an id of their client."""
            return [
                self.flag(path, **fields) for fields in ({}, {"x_client_trace_id": "c"})
                for path in ("/", "/named", "/own")]

        self.assertEqual(flags(), ["00"] * 6)
        change("&sampling=100%25")
        self.assertEqual(flags(), ["01", "01", "00"] * 2)
        change("&overall_sampling=0%25")
        self.assertEqual(flags(), ["00"] * 6)
        change("&overall_sampling=100%25&sampling=0%25&client_sampling=100%25")
        self.assertEqual(flags(), ["00", "00", "00", "01", "01", "00"])
        change("&route=own&client_sampling=100%25")
        self.assertEqual(flags(), ["00", "00", "00", "01", "01", "01"])
        change("&route=own&sampling=100%25&client_sampling=0%25")
        self.assertEqual(flags(), ["00", "00", "01", "01", "01", "01"])
        change("&route=own&overall_sampling=0%25")
        change("&route=named&sampling=100%25")
        self.assertEqual(flags(), ["00", "01", "00", "01", "01", "00"])
        # A reload that changes something else changes nothing of it, one of the shares as far as they were not changed.
        self.assertEqual(proxy.configure(self.config.replace('"/own"', '"/own/"')).status, 200)
        self.assertEqual(self.flag("/named"), "01")
        self.assertEqual(self.flag("/own/", x_client_trace_id="c"), "00")
        change("&reset")
        for route in ("own", "named"):
            change(f"&route={route}&reset")
        shown = json.loads(proxy.admin("/tracing").body)["sampling"]
        self.assertFalse(any(entry["changed"] for entry in shown))
        self.assertEqual(self.flag("/named"), "00")

    def test_decisions_are_counted_under_both_names(self):
        proxy = self.proxy(
            {"sampling": "0%", "propagation": ["w3c"]}, use_remote_address=True, internal_addresses=["127.0.0.1"],
            filters=[{"health_check": {"path": "/healthz"}}])
        self.get()
        self.get(x_client_trace_id="mine")
        self.get(x_envoy_force_trace="1")
        self.get("/healthz")
        self.get(traceparent=TRACEPARENT)
        self.assertEqual(proxy.admin("/tracing?listener=edge&sampling=100%25", "POST").status, 200)
        self.get()
        expected = {"not_traceable": 2, "client_enabled": 1, "service_forced": 1, "health_check": 1, "random_sampling": 2}
        metrics = Metrics(proxy.admin("/stats/prometheus").text)
        stats = proxy.admin("/stats").text.splitlines()
        for name, count in expected.items():
            counted = metrics(f"envoy_http_tracing_{name}", envoy_http_conn_manager_prefix="edge")
            self.assertEqual(counted, count, name)
            self.assertIn(f"http.edge.tracing.{name}: {count}", stats)
        native = {
            dict(labels)["reason"]: count
            for labels, count in proxy.metrics().all("ringway_tracing_decisions_total", listener="edge").items()}
        self.assertEqual(native, {
            "not_traced": 2, "client_forced": 1, "service_forced": 1, "health_check": 1, "sampled": 1, "parent": 1,
            "late": 0})


if __name__ == "__main__":
    unittest.main()
