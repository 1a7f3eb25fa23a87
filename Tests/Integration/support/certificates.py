"""Certificates for tests, made with `openssl`: an authority, and what it signs."""

import subprocess
from pathlib import Path


def openssl(*arguments: str, text: str | None = None) -> str:
    done = subprocess.run(["openssl", *arguments], input=text, capture_output=True, text=True, timeout=60)
    if done.returncode != 0:
        raise AssertionError(f"openssl {' '.join(arguments)}: {done.stderr}")
    return done.stdout


class Certificate:
    """A certificate and its key, as files."""

    def __init__(self, folder: Path, name: str):
        self.name = name
        self.cert = folder / f"{name}.pem"
        self.key = folder / f"{name}.key"

    @property
    def files(self) -> dict:
        """As a configuration names them."""
        return {"cert": str(self.cert), "key": str(self.key)}

    @property
    def fingerprint(self) -> str:
        line = openssl("x509", "-in", str(self.cert), "-noout", "-fingerprint", "-sha256")
        return line.strip().partition("=")[2].replace(":", "").lower()


class Authority(Certificate):
    """Signs certificates. What it made stays in its folder."""

    def __init__(self, folder: Path, name: str = "ca"):
        super().__init__(folder, name)
        self.folder = folder
        openssl(
            "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "30",
            "-keyout", str(self.key), "-out", str(self.cert), "-subj", f"/CN={name}",
            "-addext", "basicConstraints=critical,CA:true", "-addext", "keyUsage=critical,keyCertSign,cRLSign",
        )  # fmt: skip

    def issue(
        self, name: str, names: list[str] = ("localhost",), key: str = "ec", days: int = 10, common_name: str | None = None
    ) -> Certificate:
        """A certificate for `names`, each a DNS name or with its kind before it (`IP:127.0.0.1`)."""
        made = Certificate(self.folder, name)
        kind = {"ec": ["ec", "-pkeyopt", "ec_paramgen_curve:prime256v1"], "rsa": ["rsa:2048"]}[key]
        alternatives = ",".join(entry if ":" in entry else f"DNS:{entry}" for entry in names)
        request = openssl(
            "req", "-new", "-newkey", *kind, "-nodes", "-keyout", str(made.key), "-subj", f"/CN={common_name or name}"
        )
        extensions = self.folder / f"{name}.ext"
        extensions.write_text(f"subjectAltName={alternatives}\nbasicConstraints=CA:false\n")
        made.cert.write_text(
            openssl(
                "x509", "-req", "-CA", str(self.cert), "-CAkey", str(self.key), "-CAcreateserial", "-days", str(days),
                "-extfile", str(extensions), text=request,
            )
        )  # fmt: skip
        return made
