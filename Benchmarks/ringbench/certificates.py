"""One certificate for all proxies, made anew for each run of the suite, and what all TLS clients offer."""

from __future__ import annotations

import functools
import subprocess
from dataclasses import dataclass
from pathlib import Path

from . import tools

NAME = "bench.example"
CIPHER, GROUP = "TLS_AES_128_GCM_SHA256", "X25519"
# Envoy's suites of TLS 1.3 cannot be set, so the clients offer only one, and one group. The other proxies are
# configured with the same.
_CLIENTS = f"""openssl_conf = library
[library]
ssl_conf = ssl
[ssl]
system_default = clients
[clients]
MinProtocol = TLSv1.3
Ciphersuites = {CIPHER}
Groups = {GROUP}
"""


@dataclass(frozen=True)
class Certificate:
    """Files: the certificate, its key (ECDSA P-256), both in one, and OPENSSL_CONF of the clients."""

    cert: Path
    key: Path
    both: Path
    clients: Path


@functools.cache
def certificate() -> Certificate:
    folder = tools.BUILD / "tls"
    folder.mkdir(parents=True, exist_ok=True)
    made = Certificate(*(folder / name for name in ("cert.pem", "key.pem", "both.pem", "clients.cnf")))
    command = ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes"]
    command += ["-days", "2", "-subj", f"/CN={NAME}", "-addext", f"subjectAltName=DNS:{NAME},IP:127.0.0.1"]
    command += ["-keyout", str(made.key), "-out", str(made.cert)]
    subprocess.run(command, check=True, capture_output=True)
    made.both.write_text(made.cert.read_text() + made.key.read_text())
    made.both.chmod(0o600)
    made.clients.write_text(_CLIENTS)
    return made
