"""Certificates for tests: self-signed, so that each is its own authority."""

import ssl
import subprocess
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Certificate:
    """The files of a certificate and its key, PEM."""

    file: Path
    key: Path

    def server_context(self, newest: ssl.TLSVersion | None = None) -> ssl.SSLContext:
        """Return what a server uses that has this certificate, up to a version of TLS."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(self.file, self.key)
        if newest is not None:
            context.minimum_version = ssl.TLSVersion.MINIMUM_SUPPORTED
            context.maximum_version = newest
            context.set_ciphers("ALL:@SECLEVEL=0")
        return context


def make_certificate(folder: Path, names: str, *, name: str = "cert") -> Certificate:
    """Make a certificate for ``names``, as in ``DNS:localhost,IP:127.0.0.1``."""
    made = Certificate(folder / f"{name}.pem", folder / f"{name}.key")
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1",
         "-nodes", "-days", "2", "-subj", "/CN=test", "-addext", f"subjectAltName={names}",
         "-out", made.file, "-keyout", made.key],
        check=True, capture_output=True,
    )  # fmt: skip
    return made
