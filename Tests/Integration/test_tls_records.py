"""Records between clients and the proxy, after the handshake: suites, sizes, keys that change, and what is not TLS."""

import contextlib
import hashlib
import os
import random
import ssl
import subprocess
import threading
import unittest

from support.peers import digest, echo
from support.sockets import PATIENCE, ready
from test_tls import TLSCase

SUITES_1_3 = ["TLS_AES_128_GCM_SHA256", "TLS_AES_256_GCM_SHA384", "TLS_CHACHA20_POLY1305_SHA256"]
SUITES_1_2 = [
    "ECDHE-ECDSA-AES128-GCM-SHA256", "ECDHE-ECDSA-AES256-GCM-SHA384", "ECDHE-ECDSA-CHACHA20-POLY1305",
    "ECDHE-ECDSA-AES128-SHA256", "ECDHE-ECDSA-AES128-CCM",
]  # fmt: skip


class Records(TLSCase):
    def echoes(self, client, data: bytes):
        """Sends and receives in turns, so that more is on the way than anybody keeps. One thread: OpenSSL's sessions are
        not for two."""
        received, sent = bytearray(), 0
        client.setblocking(False)
        while len(received) < len(data):
            if sent < len(data):
                with contextlib.suppress(ssl.SSLWantWriteError, ssl.SSLWantReadError):
                    sent += client.send(data[sent : sent + 16_384])
            try:
                if not (part := client.recv(65536)):
                    break
                received.extend(part)
            except ssl.SSLWantReadError:
                self.assertTrue(
                    ready([client], writable=sent < len(data), timeout=PATIENCE),
                    f"nothing came after {len(received)} bytes")
        client.settimeout(PATIENCE)
        self.assertEqual(bytes(received), data)

    def test_every_suite_carries_bytes_whole(self):
        backend = self.peer(echo)
        data = os.urandom(700_000)
        for suites, limits in [(SUITES_1_3, {"min_version": "1.3"}), (SUITES_1_2, {"max_version": "1.2"})]:
            for suite in suites:
                key = {"cipher_suites": [suite]} if suite in SUITES_1_3 else {"ciphers": [suite]}
                with self.subTest(suite):
                    proxy = self.proxy(backend, tls=key | limits)
                    context = self.context()
                    if suite in SUITES_1_2:
                        context.set_ciphers(suite)
                    client = self.client(context)
                    self.assertEqual(client.cipher()[0], suite)
                    self.echoes(client, data)
                    client.sendall(b"end")
                    self.assertEqual(client.recv(10), b"end")
                    client.unwrap()
                    proxy.stop()

    def test_records_of_every_size_in_pieces_of_every_size(self):
        self.proxy(self.peer(echo), tls={"max_version": "1.2"})
        chance = random.Random(7)
        for version in (ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3):
            client = self.records(self.context(maximum_version=version))
            for _ in range(150):
                sizes = [chance.choice([1, 2, 15, 16, 100, 2048, 2049, 5000, 16384]) for _ in range(chance.randint(1, 6))]
                data = b"".join(os.urandom(size) for size in sizes)
                wire, start = b"", 0
                for size in sizes:
                    wire += client.records(data[start : start + size])
                    start += size
                place = 0
                while place < len(wire):
                    step = chance.choice([1, 4, 5, 6, 100, 5000, 70_000])
                    client.socket.sendall(wire[place : place + step])
                    place += step
                received = b""
                while len(received) < len(data):
                    received += client.recv()
                self.assertEqual(received, data)

    def test_a_changed_byte_anywhere_ends_the_connection(self):
        proxy = self.proxy(self.peer(echo))
        count = 0
        for version in (ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3):
            for place in (0, 1, 2, 3, 5, 8, 13, 14, 20, -17, -16, -1):
                client = self.records(self.context(maximum_version=version))
                client.send(b"before")
                self.assertEqual(client.recv(), b"before")
                record = bytearray(client.records(b"attack at dawn"))
                record[place] ^= 0x81 if place == 3 else 1
                client.socket.sendall(bytes(record))
                with contextlib.suppress(ConnectionResetError, ssl.SSLError):
                    self.assertEqual(client.recv(), b"")
                client.close()
                count += 1
        self.eventually_equal(lambda: self.closes(proxy, "tls_protocol_error"), count)

    def test_records_do_not_come_twice(self):
        proxy = self.proxy(self.peer(echo))
        client = self.records()
        record = client.records(b"once")
        client.socket.sendall(record)
        self.assertEqual(client.recv(), b"once")
        client.socket.sendall(record)
        with contextlib.suppress(ConnectionResetError, ssl.SSLError):
            self.assertEqual(client.recv(), b"")
        self.eventually_equal(lambda: self.closes(proxy, "tls_protocol_error"), 1)

    def test_keys_change_when_the_client_says_so(self):
        """`K` has both sides change keys, `k` the client alone."""
        self.proxy(self.peer(echo))
        client = subprocess.Popen(
            ["openssl", "s_client", "-connect", f"127.0.0.1:{self.port}", "-tls1_3"],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, bufsize=0)  # fmt: skip
        self.addCleanup(client.stdout.close)
        self.addCleanup(client.wait)
        self.addCleanup(client.kill)
        self.addCleanup(client.stdin.close)
        seen = bytearray()

        def read():
            while part := client.stdout.read(4096):
                seen.extend(part)

        threading.Thread(target=read, daemon=True).start()
        for index, command in enumerate([b"K", b"k", b"K", b"K"]):
            text = b"line %d\n" % index
            client.stdin.write(text)
            self.eventually(lambda: text in seen, f"{text} did not come back: {bytes(seen[-300:])}")
            client.stdin.write(command + b"\n")
            self.eventually(lambda: seen.count(b"KEYUPDATE") == index + 1)
        client.stdin.write(b"last\n")
        self.eventually(lambda: b"last\n" in seen, f"{bytes(seen[-300:])}")

    def test_a_client_that_wants_short_records_gets_them(self):
        """max_fragment_length (RFC 6066)."""
        payload = os.urandom(50_000).hex()
        self.proxy(self.peer(echo))
        done = self.s_client("-tls1_2", "-maxfraglen", "512", "-quiet", "-no_ign_eof", text=payload + "\n")
        self.assertEqual(done.returncode, 0, done.stderr)

    def test_streams_arrive_whole_and_hold_nothing(self):
        backend = self.peer(digest)
        proxy = self.proxy(backend)
        for size in (1, 16_384, 16_385, 5_000_000):
            data = os.urandom(size)
            client = self.records(piece=1 << 16)
            client.send(data)
            client.end()
            self.assertIn(hashlib.sha256(data).hexdigest().encode(), client.read_to_end())
            client.close()
        self.eventually_equal(lambda: proxy.metrics()("ringway_heap_bytes", worker="0"), 0)


if __name__ == "__main__":
    unittest.main()
