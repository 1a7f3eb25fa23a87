"""gRPC through the proxy, with real clients and servers."""

import threading
import unittest
from concurrent import futures

import grpc
from support import Case, cluster, document, free_port


class Service(grpc.GenericRpcHandler):
    """Methods on bytes, by name: the four kinds of calls, and what goes wrong."""

    def __init__(self):
        self.waiting = threading.Event()
        self.cancelled = threading.Event()
        self.calls = []

    def service(self, call):
        self.calls.append(dict(call.invocation_metadata))
        name = call.method.rpartition("/")[2]
        return {
            "Unary": grpc.unary_unary_rpc_method_handler(lambda request, _: request),
            "Count": grpc.unary_stream_rpc_method_handler(self.count),
            "Sum": grpc.stream_unary_rpc_method_handler(lambda requests, _: b"%d" % sum(map(int, requests))),
            "Echo": grpc.stream_stream_rpc_method_handler(lambda requests, _: requests),
            "Fail": grpc.unary_unary_rpc_method_handler(self.fail),
            "Flaky": grpc.unary_unary_rpc_method_handler(self.flaky),
            "Wait": grpc.unary_unary_rpc_method_handler(self.wait),
        }.get(name)

    def count(self, request, context):
        for number in range(int(request)):
            yield b"%d" % number
        context.set_trailing_metadata([("x-total", request.decode())])

    def fail(self, request, context):
        context.abort(grpc.StatusCode.FAILED_PRECONDITION, "not like this: 100 %")

    def flaky(self, request, context):
        if sum("flaky" in call for call in self.calls) < 3:
            context.abort(grpc.StatusCode.UNAVAILABLE, "not now")
        return b"now"

    def wait(self, request, context):
        context.add_callback(self.cancelled.set)
        self.waiting.set()
        self.cancelled.wait(30)
        return b""


class GRPC(Case):
    def setUp(self):
        super().setUp()
        self.service = Service()
        self.start_server()
        self.port = free_port()
        routes = [
            {"match": {"path_prefix": "/retried/"}, "cluster": "backend",
             "retry": {"on": ["unavailable"], "attempts": 5, "back_off": "1ms"}},
            {"match": {"path_prefix": "/nowhere/"}, "respond": {"status": 404}},
            {"match": {"path_prefix": "/gone/"}, "cluster": "gone"},
            {"match": {}, "cluster": "backend", "timeout": 0},
        ]
        edge = {"name": "edge", "address": f"127.0.0.1:{self.port}",
                "http": {"routes": routes, "http2": {"max_concurrent_streams": 2000}}}
        self.proxy = self.ringway(document([edge], [
            cluster("backend", self.backend_port, protocol="http2"), cluster("gone", free_port(), protocol="http2")]))
        self.channel = self.open_channel()

    def start_server(self):
        self.server_pool = futures.ThreadPoolExecutor(32)
        self.grpc_server = grpc.server(self.server_pool, options=[("grpc.max_receive_message_length", -1)])
        self.grpc_server.add_generic_rpc_handlers([self.service])
        self.backend_port = self.grpc_server.add_insecure_port("127.0.0.1:0")
        self.grpc_server.start()
        self.addCleanup(lambda: self.grpc_server.stop(None).wait())

    def open_channel(self):
        channel = grpc.insecure_channel(
            f"127.0.0.1:{self.port}",
            options=[("grpc.max_receive_message_length", -1), ("grpc.use_local_subchannel_pool", 1)])
        self.addCleanup(channel.close)
        return channel

    def fails(self, call, *arguments, **options) -> grpc.RpcError:
        with self.assertRaises(grpc.RpcError) as caught:
            call(*arguments, **options)
        return caught.exception

    def test_the_four_kinds_of_calls(self):
        self.assertEqual(self.channel.unary_unary("/s/Unary")(b"hello", timeout=30), b"hello")
        count = self.channel.unary_stream("/s/Count")(b"100", timeout=30)
        self.assertEqual(list(count), [b"%d" % number for number in range(100)])
        self.assertIn(("x-total", "100"), count.trailing_metadata())
        numbers = iter([b"1", b"2", b"3"])
        self.assertEqual(self.channel.stream_unary("/s/Sum")(numbers, timeout=30), b"6")
        words = [b"a", b"b" * 100_000, b""]
        self.assertEqual(list(self.channel.stream_stream("/s/Echo")(iter(words), timeout=30)), words)

    def test_a_conversation_goes_back_and_forth(self):
        said = threading.Semaphore(0)

        def requests():
            for number in range(50):
                yield b"%d" % number
                said.acquire()

        heard = []
        for answer in self.channel.stream_stream("/s/Echo")(requests(), timeout=30):
            heard.append(answer)
            said.release()
        self.assertEqual(heard, [b"%d" % number for number in range(50)])

    def test_messages_of_megabytes(self):
        message = bytes(range(256)) * 32_768
        self.assertEqual(self.channel.unary_unary("/s/Unary")(message, timeout=60), message)

    def test_a_thousand_calls_at_once(self):
        call = self.channel.unary_unary("/s/Unary")
        pending = [call.future(b"%d" % number, timeout=60) for number in range(1000)]
        self.assertEqual([answer.result() for answer in pending], [b"%d" % number for number in range(1000)])

    def test_errors_come_through_with_their_words(self):
        error = self.fails(self.channel.unary_unary("/s/Fail"), b"", timeout=30)
        self.assertEqual(error.code(), grpc.StatusCode.FAILED_PRECONDITION)
        self.assertEqual(error.details(), "not like this: 100 %")
        error = self.fails(self.channel.unary_unary("/s/Missing"), b"", timeout=30)
        self.assertEqual(error.code(), grpc.StatusCode.UNIMPLEMENTED)
        self.eventually_equal(
            lambda: self.proxy.metrics().sum("ringway_cluster_grpc_responses_total", grpc_status="9"), 1)

    def test_answers_of_the_proxy_are_in_the_words_of_grpc(self):
        error = self.fails(self.channel.unary_unary("/gone/Unary"), b"", timeout=30)
        self.assertEqual(error.code(), grpc.StatusCode.UNAVAILABLE)
        self.assertEqual(error.details(), "the upstream is not reachable")
        error = self.fails(self.channel.unary_unary("/nowhere/Unary"), b"", timeout=30)
        self.assertEqual(error.code(), grpc.StatusCode.UNIMPLEMENTED)

    def test_a_deadline_ends_the_call_here_and_there(self):
        error = self.fails(self.channel.unary_unary("/s/Wait"), b"", timeout=0.3)
        self.assertEqual(error.code(), grpc.StatusCode.DEADLINE_EXCEEDED)
        self.assertTrue(self.service.cancelled.wait(30))

    def test_a_call_that_is_cancelled_ends_at_the_server(self):
        call = self.channel.unary_unary("/s/Wait").future(b"", timeout=30)
        self.assertTrue(self.service.waiting.wait(30))
        call.cancel()
        self.assertTrue(self.service.cancelled.wait(30))

    def test_calls_are_tried_again_by_their_status(self):
        answer = self.channel.unary_unary("/retried/Flaky")(b"", timeout=30, metadata=[("flaky", "1")])
        self.assertEqual(answer, b"now")
        self.assertEqual(sum("flaky" in call for call in self.service.calls), 3)

    def test_a_server_that_goes_away_finishes_what_it_has_begun(self):
        call = self.channel.unary_unary("/s/Wait").future(b"", timeout=30)
        self.eventually(lambda: self.service.calls)
        stopping = self.grpc_server.stop(30)
        self.service.cancelled.set()
        self.assertEqual(call.result(), b"")
        stopping.wait()


if __name__ == "__main__":
    unittest.main()
