"""Certificates, keys and authorities as files: what `check` says of them, and how they change while the proxy runs."""

import os
import shutil
import signal
import socket
import ssl
import unittest

from support.certificates import Authority
from support.configuration import cluster, document
from support.peers import echo
from support.sockets import PATIENCE
from test_tls import TLSCase


class Check(TLSCase):
    def problems(self, tls: dict, cluster_tls: dict | None = None) -> str:
        path = self.folder / "c.yaml"
        more = {"tls": cluster_tls} if cluster_tls else {}
        edge = {"name": "edge", "address": "127.0.0.1:1", "tcp": "web", "tls": tls}
        path.write_text(document([edge], [cluster("web", 9, **more)]))
        done = self.command("check", str(path))
        self.assertEqual(done.returncode, 78 if done.stderr else 0)
        return done.stderr

    def test_a_good_configuration_has_nothing_to_say(self):
        log = self.folder / "keys.txt"
        good = {"certificates": [self.certificate.files], "client_ca": str(self.authority.cert), "key_log": str(log)}
        self.assertEqual(self.problems(good, {"ca": str(self.authority.cert)} | self.certificate.files), "")
        self.assertFalse(log.exists())

    def test_each_file_is_loaded_and_blamed_at_its_option(self):
        other = self.authority.issue("other")
        empty = self.folder / "empty"
        empty.write_text("")
        broken = self.folder / "broken.pem"
        broken.write_text("-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----\n")
        cert, key = str(self.certificate.cert), str(self.certificate.key)
        for tls, words in (
            ({"cert": "/nowhere.pem", "key": key}, ["/nowhere.pem", "No such file"]),
            ({"cert": cert, "key": str(other.key)}, [str(other.key), "does not belong"]),
            ({"cert": str(empty), "key": key}, [str(empty), "no certificate"]),
            ({"cert": str(broken), "key": key}, [str(broken), "unreadable certificate"]),
            ({"cert": cert, "key": cert}, [cert, "no private key"]),
            ({"cert": cert, "key": key, "ocsp_staple": cert}, [cert, "no OCSP response"]),
        ):
            said = self.problems({"certificates": [tls]})
            for word in words:
                self.assertIn(word, said)
            self.assertRegex(said, r"c\.yaml:\d+:\d+: error: ")
        self.assertIn("no certificate", self.problems({"certificates": [self.certificate.files], "client_ca": str(empty)}))
        good = {"certificates": [self.certificate.files]}
        self.assertIn("/nowhere", self.problems(good, {"ca": "/nowhere"}))
        self.assertIn("does not belong", self.problems(good, {"cert": cert, "key": str(other.key)}))
        self.assertIn("none of these ciphers", self.problems(good | {"ciphers": ["NO-SUCH-CIPHER"]}))
        self.assertIn("groups", self.problems(good | {"groups": ["NO-SUCH-GROUP"]}))

    def test_a_key_with_a_password_is_refused_and_not_asked_for(self):
        from support.certificates import openssl

        locked = self.folder / "locked.key"
        openssl("ec", "-in", str(self.certificate.key), "-aes128", "-passout", "pass:secret", "-out", str(locked))
        self.assertIn(
            "unreadable private key",
            self.problems({"certificates": [{"cert": str(self.certificate.cert), "key": str(locked)}]}),
        )


class Reload(TLSCase):
    def setUp(self):
        super().setUp()
        self.live = self.authority.issue("live", ["localhost"], common_name="old")
        self.next = self.authority.issue("next", ["localhost"], common_name="new")

    def served(self) -> str:
        client = self.client()
        name = dict(part for rdn in client.getpeercert()["subject"] for part in rdn)["commonName"]
        client.close()
        return name

    def replace(self, made, with_key: bool = True):
        for source, target in ((made.cert, self.live.cert), (made.key, self.live.key)):
            if target == self.live.key and not with_key:
                continue
            shutil.copy(source, f"{target}.tmp")
            os.replace(f"{target}.tmp", target)

    def test_files_that_change_are_loaded_without_touching_connections(self):
        proxy = self.proxy(self.peer(echo), tls={"certificates": [self.live.files]})
        open_one = self.client()
        self.assertEqual(self.served(), "old")
        self.replace(self.next)
        self.eventually_equal(self.served, "new")
        open_one.sendall(b"still here")
        self.assertEqual(open_one.recv(100), b"still here")
        metrics = proxy.metrics()
        self.assertEqual(metrics("ringway_tls_reloads_total", result="applied"), 1)
        self.assertEqual(metrics("ringway_config_generation"), 1)
        self.assertIn("CN=new", proxy.admin("/certs").text)

    def test_a_bad_pair_is_refused_and_the_old_one_stays(self):
        proxy = self.proxy(self.peer(echo), tls={"certificates": [self.live.files]})
        self.replace(self.next, with_key=False)
        self.eventually_equal(lambda: proxy.metrics()("ringway_tls_reloads_total", result="rejected"), 1)
        self.assertEqual(self.served(), "old")
        self.assertIn(str(self.live.key), proxy.log)
        self.assertIn("does not belong", proxy.log)
        self.replace(self.next)
        self.eventually_equal(self.served, "new")
        self.assertEqual(proxy.metrics()("ringway_tls_reloads_total", result="rejected"), 1)

    def test_a_hangup_loads_them_at_once_or_not_at_all(self):
        proxy = self.proxy(self.peer(echo), tls={"certificates": [self.live.files]})
        self.replace(self.next)
        proxy.signal(signal.SIGHUP)
        self.eventually_equal(self.served, "new")
        self.live.cert.write_text("nonsense")
        proxy.signal(signal.SIGHUP)
        self.eventually(lambda: proxy.metrics()("ringway_config_applies_total", result="rejected") >= 1)
        self.assertEqual(self.served(), "new")

    def test_authorities_of_clients_change_too(self):
        clients = Authority(self.folder, "clients")
        other = Authority(self.folder, "others")
        mine = other.issue("bob")
        proxy = self.proxy(
            self.peer(echo), tls={"certificates": [self.live.files], "client_ca": str(clients.cert), "max_version": "1.2"}
        )
        context = self.context()
        context.load_cert_chain(str(mine.cert), str(mine.key))
        with self.assertRaises((ssl.SSLError, ConnectionResetError)):
            self.client(context)
        shutil.copy(other.cert, clients.cert)
        self.eventually(lambda: proxy.metrics()("ringway_tls_reloads_total", result="applied"))

        def accepted():
            try:
                return self.client(context)
            except ssl.SSLError:
                return None

        self.assertIsNotNone(self.eventually(accepted))

    def test_a_listener_gets_and_loses_tls_with_the_configuration(self):
        proxy = self.proxy(self.peer(echo), tls={"certificates": [self.live.files]})
        backend = cluster("backend", self.peer(echo))
        plain = {"name": "edge", "address": f"127.0.0.1:{self.port}", "tcp": "backend"}
        self.assertEqual(proxy.configure(document([plain], [backend])).status, 200)

        def echoes():
            with socket.create_connection(("127.0.0.1", self.port), PATIENCE) as sock:
                sock.sendall(b"plain")
                return sock.recv(10)

        self.eventually_equal(echoes, b"plain")
        self.assertEqual(proxy.configure(document([plain | {"tls": {"certificates": [self.live.files]}}], [backend])).status, 200)
        self.eventually_equal(self.served, "old")


if __name__ == "__main__":
    unittest.main()
