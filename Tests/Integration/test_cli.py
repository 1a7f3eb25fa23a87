"""The command line: what it takes, how it fails, and with which exit code."""

import json
import os
import signal
import socket
import subprocess

from support import BINARY, Case, cluster, connect, document, free_port, listener, read_exactly, read_to_end
from support.peers import echo, greet

DONE, WRONG_USAGE, SYSTEM_LACKS, CONFIGURATION_ERROR = 0, 64, 69, 78

BROKEN = """\
listeners:
  - name: edge
    adress: 127.0.0.1:80
    tcp: { cluster: pg, idle_timeout: 5 }
  - name: edge
    address: 127.0.0.1:81
    tcp: pq
clusters:
  - name: pg
    endpoints: ["127.0.0.1:0"]
    load_balancing: round-robin
"""


class Errors(Case):
    def write(self, text: str, name: str = "edge.yaml") -> str:
        (self.folder / name).write_text(text)
        return name

    def test_all_errors_of_a_file_come_at_once_each_with_its_place(self):
        name = self.write(BROKEN)
        for command in ("check", "run"):
            with self.subTest(command):
                outcome = self.command(command, name)
                self.assertEqual(outcome.returncode, CONFIGURATION_ERROR)
                lines = outcome.stderr.splitlines()
                form = r'^edge\.yaml:\d+:\d+: error: [^;]+; expected .+?( \(did you mean "[^"]+"\?\))?$'
                for line in lines:
                    self.assertRegex(line, form)
                self.assertEqual(
                    [line.split(": error: ")[0] for line in lines],
                    [f"edge.yaml:{place}" for place in ("2:5", "3:5", "4:39", "5:11", "7:10", "10:17", "11:21")],
                )
                self.assertIn('unknown key "adress"', lines[1])
                self.assertTrue(lines[1].endswith('(did you mean "address"?)'))
                self.assertTrue(lines[4].endswith('(did you mean "pg"?)'))
                self.assertTrue(lines[6].endswith('(did you mean "round_robin"?)'))

    def test_filters_are_checked_with_everything_else(self):
        name = self.write("""\
listeners:
  - name: a
    address: 127.0.0.1:80
    network_filters: [echo, { connection_rate_limit: { connections_per_second: 0 } }]
    tcp: pg
  - name: b
    address: 127.0.0.1:81
    network_filters: [ecko]
    tcp: pg
  - name: c
    address: 127.0.0.1:82
    network_filters: [{ ip_access: { alow: [10.0.0.0/8] } }]
    tcp: pg
  - name: d
    address: 127.0.0.1:83
clusters: [{ name: pg, endpoints: ["127.0.0.1:1"] }]
""")
        outcome = self.command("check", name)
        self.assertEqual(outcome.returncode, CONFIGURATION_ERROR)
        for problem in (
            'edge.yaml:4:31: error: network filter "connection_rate_limit" stands behind a terminal filter',
            'edge.yaml:8:23: error: unknown network filter "ecko"',
            'edge.yaml:12:38: error: unknown key "alow"',
            'edge.yaml:14:5: error: missing key "tcp" or "http"',
        ):
            self.assertIn(problem, outcome.stderr)

    def test_broken_yaml_is_reported_at_its_place(self):
        outcome = self.command("check", self.write("listeners:\n  - name: [a\n"))
        self.assertEqual(outcome.returncode, CONFIGURATION_ERROR)
        self.assertRegex(outcome.stderr, r"^edge\.yaml:\d+:\d+: error: ")

    def test_a_file_that_is_not_there_is_a_configuration_error(self):
        for command in ("check", "run"):
            with self.subTest(command):
                outcome = self.command(command, "nowhere.yaml")
                self.assertEqual(outcome.returncode, CONFIGURATION_ERROR)
                self.assertRegex(outcome.stderr, r"^nowhere\.yaml:1:1: error: .*No such file")

    def test_a_folder_and_bytes_that_are_not_text_are_configuration_errors(self):
        (self.folder / "binary.yaml").write_bytes(b"listeners: \xff\xfe\x00")
        for path in (".", "binary.yaml"):
            with self.subTest(path):
                outcome = self.command("check", path)
                self.assertEqual(outcome.returncode, CONFIGURATION_ERROR)
                self.assertIn(f"{path}:1:1: error: ", outcome.stderr)

    def test_a_file_that_is_fine_is_said_to_be(self):
        name = self.write(document([listener("edge", 80)], [cluster("backend", 81)]))
        outcome = self.command("check", name)
        self.assertEqual((outcome.returncode, outcome.stderr), (DONE, ""))

    def test_check_binds_nothing(self):
        with socket.create_server(("127.0.0.1", 0)) as holder:
            name = self.write(document([listener("edge", holder.getsockname()[1])], [cluster("backend", 81)]))
            self.assertEqual(self.command("check", name).returncode, DONE)

    def test_ports_in_use_are_all_named(self):
        with socket.create_server(("127.0.0.1", 0)) as one, socket.create_server(("127.0.0.1", 0)) as two:
            ports = [one.getsockname()[1], two.getsockname()[1]]
            listeners = [listener("one", ports[0]), listener("two", ports[1])]
            name = self.write(document(listeners, [cluster("backend", 81)]))
            outcome = self.command("run", name)
            self.assertEqual(outcome.returncode, CONFIGURATION_ERROR)
            lines = outcome.stderr.splitlines()
            self.assertEqual(len(lines), 2)
            for line, port in zip(lines, ports, strict=True):
                self.assertRegex(line, rf"^edge\.yaml:\d+:\d+: error: cannot listen on 127\.0\.0\.1:{port}: ")

    def test_an_admin_port_in_use_is_named(self):
        with socket.create_server(("127.0.0.1", 0)) as holder:
            port = holder.getsockname()[1]
            name = self.write(
                f'admin: {{ address: "127.0.0.1:{port}" }}\n'
                + "listeners: [{ name: e, address: 127.0.0.1:0, network_filters: [echo] }]\n"
            )
            outcome = self.command("run", name)
            self.assertEqual(outcome.returncode, CONFIGURATION_ERROR)
            self.assertIn(f"cannot listen on 127.0.0.1:{port}: ", outcome.stderr)

    def test_a_second_ringway_does_not_share_the_port_of_the_first(self):
        # Both would use SO_REUSEPORT, so the kernel alone would let it in and halve the connections.
        port = free_port()
        config = document([listener("edge", port)], [cluster("backend", self.peer(greet("peer")))])
        first = self.ringway(config, admin=False)
        second = self.command("run", self.write(config), "--workers", "1")
        self.assertEqual(second.returncode, CONFIGURATION_ERROR)
        self.assertIn(f"127.0.0.1:{port}", second.stderr)
        self.assertEqual(read_exactly(self.connect(port), 4), b"peer")
        self.assertTrue(first.is_running)

    def test_an_address_of_another_machine_is_refused_at_the_start(self):
        name = self.write(document([listener("edge", "192.0.2.1:80")], [cluster("backend", 81)]))
        outcome = self.command("run", name)
        self.assertEqual(outcome.returncode, CONFIGURATION_ERROR)
        self.assertIn("cannot listen on 192.0.2.1:80: ", outcome.stderr)


class Usage(Case):
    def test_wrong_usage_exits_with_64(self):
        (self.folder / "fine.yaml").write_text(document([listener("edge", 80)], [cluster("backend", 81)]))
        for arguments in (
            ["fly"],
            ["run"],
            ["check"],
            ["proxy"],
            ["proxy", ":9000"],
            ["run", "fine.yaml", "extra"],
            ["run", "fine.yaml", "--workers", "0"],
            ["run", "fine.yaml", "--workers", "many"],
            ["run", "fine.yaml", "--admin", "somewhere"],
            ["run", "fine.yaml", "--admin", "9901"],
            ["run", "fine.yaml", "--io", "magic"],
            ["run", "fine.yaml", "--log-level", "loud"],
            ["run", "fine.yaml", "--log-format", "xml"],
            ["run", "fine.yaml", "--nonsense"],
            ["proxy", "9000", "127.0.0.1:1"],
            ["proxy", ":9000", ":1"],
            ["proxy", ":9000", "127.0.0.1:0"],
            ["proxy", ":99999", "127.0.0.1:1"],
        ):
            with self.subTest(" ".join(arguments)):
                outcome = self.command(*arguments)
                self.assertEqual(outcome.returncode, WRONG_USAGE, outcome.stderr)
                self.assertNotEqual(outcome.stderr, "")
                self.assertEqual(outcome.stdout, "")

    def test_version_says_name_and_number(self):
        outcome = self.command("version")
        self.assertEqual(outcome.returncode, DONE)
        self.assertRegex(outcome.stdout, r"^ringway \d+\.\d+\.\d+\n$")

    def test_help_is_no_error(self):
        for arguments in (["--help"], ["run", "--help"], ["help", "proxy"]):
            with self.subTest(" ".join(arguments)):
                outcome = self.command(*arguments)
                self.assertEqual(outcome.returncode, DONE)
                self.assertIn("USAGE: ringway", outcome.stdout)

    def test_doctor_says_what_the_kernel_allows(self):
        outcome = self.command("doctor")
        self.assertEqual(outcome.returncode, DONE, outcome.stderr)
        self.assertIn(os.uname().release, outcome.stdout)
        self.assertRegex(outcome.stdout, r"io_uring +usable")

    def test_output_into_a_closed_pipe_is_not_a_crash(self):
        read, write = os.pipe()
        os.close(read)
        outcome = subprocess.run([BINARY, "version"], stdout=write, stderr=subprocess.DEVNULL, timeout=30)
        os.close(write)
        self.assertNotIn(-outcome.returncode, (signal.SIGSEGV, signal.SIGILL, signal.SIGABRT))


class Run(Case):
    def test_without_an_admin_interface_there_is_none(self):
        admin = free_port()
        port = free_port()
        config = document(
            [listener("edge", port)], [cluster("backend", self.peer(echo))], admin={"address": f"127.0.0.1:{admin}"}
        )
        self.ringway(config, "--admin", "none", admin=False)
        client = self.connect(port)
        client.sendall(b"hello")
        self.assertEqual(read_exactly(client, 5), b"hello")
        with self.assertRaises(ConnectionRefusedError):
            connect(admin)

    def test_workers_of_the_command_line_win_over_the_file(self):
        config = document([listener("edge", free_port())], [cluster("backend", 1)], workers=1)
        proxy = self.ringway(config, workers=3)
        self.assertEqual(proxy.admin("/server_info").json["workers"], 3)
        self.assertEqual(len(proxy.metrics().all("ringway_worker_turns_total")), 3)

    def test_automatic_workers_respect_the_affinity_of_the_process(self):
        one = min(os.sched_getaffinity(0))
        config = document([listener("edge", free_port())], [cluster("backend", 1)])
        proxy = self.ringway(config, workers="auto", preexec=lambda: os.sched_setaffinity(0, {one}))
        self.assertEqual(proxy.admin("/server_info").json["workers"], 1)

    def test_log_lines_are_json_when_asked_for(self):
        config = document([listener("edge", free_port())], [cluster("backend", 1)])
        proxy = self.ringway(config, "--log-format", "json")
        proxy.signal(signal.SIGHUP)
        self.eventually(lambda: "configuration applied" in proxy.log)
        entries = [json.loads(line) for line in proxy.log.splitlines()]
        self.assertEqual({entry["level"] for entry in entries}, {"notice"})
        self.assertIn("live", [entry["message"] for entry in entries])

    def test_interrupt_ends_like_terminate(self):
        proxy = self.ringway(document([listener("edge", free_port())], [cluster("backend", 1)]))
        proxy.signal(signal.SIGINT)
        self.assertEqual(proxy.wait(), DONE)


class ProxyWithoutAFile(Case):
    def exchange(self, address) -> bytes:
        sock = self.connect(address)
        sock.sendall(b"ping")
        answer = read_exactly(sock, 4)
        sock.close()
        return answer

    def test_every_interface(self):
        port = free_port()
        self.started("proxy", f":{port}", self.peer(echo).address)
        for address in (f"127.0.0.1:{port}", f"[::1]:{port}"):
            with self.subTest(address):
                self.assertEqual(self.exchange(address), b"ping")

    def test_one_interface(self):
        port = free_port()
        self.started("proxy", f"127.0.0.1:{port}", self.peer(echo).address)
        self.assertEqual(self.exchange(port), b"ping")
        with self.assertRaises(OSError):
            connect(f"[::1]:{port}")

    def test_ipv6(self):
        port = free_port()
        upstream = self.peer(echo, "[::1]:0")
        self.started("proxy", f"[::1]:{port}", upstream.address)
        self.assertEqual(self.exchange(f"[::1]:{port}"), b"ping")

    def test_unix_sockets(self):
        upstream = self.peer(echo, f"unix:{self.folder}/up.sock")
        proxy = self.started("proxy", f"unix:{self.folder}/edge.sock", upstream.address)
        self.assertEqual(self.exchange(f"unix:{self.folder}/edge.sock"), b"ping")
        self.assertEqual(proxy.stop(), DONE)
        self.assertFalse((self.folder / "edge.sock").exists(), "the path goes with the listener")

    def test_several_upstreams_take_turns(self):
        port = free_port()
        upstreams = [self.peer(greet(name)).address for name in "abc"]
        self.started("proxy", f"127.0.0.1:{port}", *upstreams, "--tcp")
        seen = [read_exactly(self.connect(port), 1) for _ in range(6)]
        self.assertEqual(seen[:3], seen[3:])
        self.assertEqual(sorted(seen[:3]), [b"a", b"b", b"c"])

    def test_a_port_of_the_systems_choice_can_be_found_out(self):
        proxy = self.started("proxy", "127.0.0.1:0", self.peer(echo).address)
        address = proxy.admin("/listeners?format=json").json["listeners"][0]["address"]
        self.assertEqual(self.exchange(address), b"ping")

    def test_a_port_in_use_is_named(self):
        with socket.create_server(("127.0.0.1", 0)) as holder:
            address = f"127.0.0.1:{holder.getsockname()[1]}"
            outcome = self.command("proxy", address, "127.0.0.1:1")
            self.assertEqual(outcome.returncode, CONFIGURATION_ERROR)
            self.assertIn(f"cannot listen on {address}: ", outcome.stderr)

    def test_reload_has_nothing_to_read(self):
        port = free_port()
        proxy = self.started("proxy", f"127.0.0.1:{port}", self.peer(greet("still")).address)
        proxy.signal(signal.SIGHUP)
        self.eventually(lambda: "nothing to reload" in proxy.log)
        client = self.connect(port)
        client.shutdown(socket.SHUT_WR)
        self.assertEqual(read_to_end(client), b"still")
