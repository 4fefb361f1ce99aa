"""An authority of time stamps for tests: openssl ts behind a local HTTP server, and no network."""

import datetime as dt
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Final

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

_CONFIG: Final = """\
[tsa]
default_tsa = it
[it]
serial = {folder}/serial
signer_cert = {folder}/tsa.pem
certs = {folder}/tsa.pem
signer_key = {folder}/tsa.key
signer_digest = sha256
default_policy = 1.2.3.4.1
digests = sha256
accuracy = secs:1
ess_cert_id_alg = sha256
"""
_YEAR: Final = dt.timedelta(days=365)


class Authority:
    """An authority with a root of its own.

    Attributes:
        trust: a folder with its root, as ``verify --trust`` takes it.
    """

    def __init__(self, folder: Path, *, valid: tuple[dt.timedelta, dt.timedelta]) -> None:
        """``valid``: from when until when its certificate is, from now."""
        self.folder, self.trust = folder, folder / "trust"
        self.trust.mkdir(parents=True)
        now = dt.datetime.now(dt.UTC)
        root_key, key = (ec.generate_private_key(ec.SECP256R1()) for _ in range(2))
        root_name, name = (_name(f"{what} of {folder.name}") for what in ("Root", "Authority"))
        root = (
            _certificate(root_name, root_name, root_key, (now - 3 * _YEAR, now + 3 * _YEAR))
            .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
            .sign(root_key, hashes.SHA256())
        )
        stamping = x509.ExtendedKeyUsage([ExtendedKeyUsageOID.TIME_STAMPING])
        own = (
            _certificate(name, root_name, key, (now + valid[0], now + valid[1]))
            .add_extension(stamping, critical=True)
            .sign(root_key, hashes.SHA256())
        )
        (self.trust / "root.pem").write_bytes(root.public_bytes(Encoding.PEM))
        (folder / "tsa.pem").write_bytes(own.public_bytes(Encoding.PEM))
        private = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
        (folder / "tsa.key").write_bytes(private)
        (folder / "serial").write_text("01\n")
        (folder / "openssl.cnf").write_text(_CONFIG.format(folder=folder))

    def reply(self, query: bytes) -> bytes:
        """The answer to a request."""
        (self.folder / "query").write_bytes(query)
        subprocess.run(
            [
                *("openssl", "ts", "-reply", "-config", str(self.folder / "openssl.cnf")),
                *("-queryfile", str(self.folder / "query"), "-out", str(self.folder / "reply")),
            ],
            check=True,
            capture_output=True,
        )
        return (self.folder / "reply").read_bytes()

    @contextmanager
    def served(self, answer: bytes | None = None) -> Iterator[str]:
        """Answers at a URL; with ``answer``, always the same."""
        reply = self.reply

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                query = self.rfile.read(int(self.headers["Content-Length"]))
                body = reply(query) if answer is None else answer
                self.send_response(200)
                self.send_header("Content-Type", "application/timestamp-reply")
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_: object) -> None:
                pass

        with HTTPServer(("127.0.0.1", 0), Handler) as server:
            thread = threading.Thread(target=server.serve_forever, daemon=True)
            thread.start()
            try:
                yield f"http://127.0.0.1:{server.server_port}/tsa"
            finally:
                server.shutdown()
                thread.join()


def _name(text: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, text)])


def _certificate(
    subject: x509.Name,
    issuer: x509.Name,
    key: ec.EllipticCurvePrivateKey,
    valid: tuple[dt.datetime, dt.datetime],
) -> x509.CertificateBuilder:
    signer = x509.CertificateBuilder().subject_name(subject).issuer_name(issuer)
    signer = signer.public_key(key.public_key()).serial_number(x509.random_serial_number())
    return signer.not_valid_before(valid[0]).not_valid_after(valid[1])
