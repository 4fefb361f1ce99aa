"""A real object store on the loopback interface: SeaweedFS, and before it a proxy that fails."""

from __future__ import annotations

import http.client
import json
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from datetime import timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import TYPE_CHECKING, Final, Literal

import obstore
import pytest
from obstore.exceptions import BaseError
from obstore.store import S3Store

from engine.io import object_store

if TYPE_CHECKING:
    from obstore.store import RetryConfig

SERVER: Final = Path(sys.executable).parent / "weed"
MISSING: Final = "SeaweedFS is not installed"
BUCKET: Final = "bucket"
_KEYS: Final = {"accessKey": "operator", "secretKey": "of-the-tests"}
_USER: Final = {"name": "operator", "credentials": [_KEYS], "actions": ["Admin"]}
_GRPC: Final = ("", ".grpc")
_START_SECONDS: Final = 60
_STARTS: Final = 3
_NO_RETRIES: Final[RetryConfig] = {"max_retries": 0}
QUICK_RETRIES: Final[RetryConfig] = {
    "max_retries": 2,
    "backoff": {"init_backoff": timedelta(milliseconds=1), "max_backoff": timedelta(0, 0.01)},
}

Fault = Literal["refused", "cut before", "cut in the middle", "answer lost", "silent"]
"""What becomes of a request: 503, closed unanswered, half an answer, done but unanswered, never."""


class Proxy(ThreadingHTTPServer):
    """Hands requests on to a server, and does to each what a test says.

    Attributes:
        requests: methods and paths, in the order in which they came.
        fault: is told the number of a request, from 1, its method and path; gives its fault.
    """

    daemon_threads = True

    def __init__(self, server_port: int) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.behind = server_port
        self.requests: list[tuple[str, str]] = []
        self.fault: Callable[[int, str, str], Fault | None] = _no_fault
        self.ended = threading.Event()
        self._guard = threading.Lock()

    def fault_of(self, method: str, path: str) -> Fault | None:
        with self._guard:
            self.requests.append((method, path))
            return self.fault(len(self.requests), method, path)

    def forget(self, fault: Callable[[int, str, str], Fault | None] | None = None) -> None:
        """Begins to count anew, with other faults or none."""
        with self._guard:
            self.requests, self.fault = [], fault or _no_fault

    def handle_error(self, request: object, client_address: object) -> None:
        """A client that has left is none of the test's business."""


def _no_fault(_number: int, _method: str, _path: str) -> None:
    return None


def once(fault: Fault, at: int = 1) -> Callable[[int, str, str], Fault | None]:
    """A fault of the request with this number, and of no other."""
    return lambda number, _method, _path: fault if number == at else None


def always(fault: Fault) -> Callable[[int, str, str], Fault | None]:
    """A fault of each request."""
    return lambda _number, _method, _path: fault


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: Proxy

    def log_message(self, *_: object) -> None:
        pass

    def _hand_on(self) -> None:
        self.close_connection = True
        body = self.rfile.read(int(self.headers.get("content-length") or 0))
        fault = self.server.fault_of(self.command, self.path)
        if fault == "refused":
            self.send_response(503)
            self.send_header("content-length", "0")
            self.end_headers()
        elif fault == "silent":
            self.server.ended.wait(_START_SECONDS)
        elif fault != "cut before":
            self._answer(body, fault)

    def _answer(self, body: bytes, fault: Fault | None) -> None:
        connection = http.client.HTTPConnection("127.0.0.1", self.server.behind)
        # What was signed must not change, the host's name included.
        connection.putrequest(self.command, self.path, skip_host=True, skip_accept_encoding=True)
        for name, value in self.headers.items():
            connection.putheader(name, value)
        connection.endheaders(body)
        answer = connection.getresponse()
        data = answer.read()
        connection.close()
        if fault == "answer lost":
            return
        self.send_response_only(answer.status)
        for name, value in answer.getheaders():
            if name.lower() not in ("transfer-encoding", "connection"):
                self.send_header(name, value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(data[: len(data) // 2] if fault == "cut in the middle" else data)

    do_GET = do_HEAD = do_PUT = do_POST = do_DELETE = _hand_on  # noqa: N815


def _free_ports(count: int) -> list[int]:
    with ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(count)]
        for free_socket in sockets:
            free_socket.bind(("127.0.0.1", 0))
        return [int(free_socket.getsockname()[1]) for free_socket in sockets]


@contextmanager
def running_store() -> Iterator[Proxy]:
    """A store with nothing in it, behind a proxy, and an environment that names it."""
    if not SERVER.exists():
        pytest.skip(MISSING)
    with ExitStack() as stack:
        folder = Path(tempfile.mkdtemp(prefix="mynapoint-test-store-"))
        stack.callback(shutil.rmtree, folder, ignore_errors=True)
        patched = stack.enter_context(pytest.MonkeyPatch.context())
        for name in [name for name in os.environ if name.startswith("AWS_")]:
            patched.delenv(name)
        patched.setenv("AWS_ACCESS_KEY_ID", _KEYS["accessKey"])
        patched.setenv("AWS_SECRET_ACCESS_KEY", _KEYS["secretKey"])
        patched.setenv("AWS_REGION", "us-east-1")
        patched.setenv("AWS_ALLOW_HTTP", "true")
        proxy = stack.enter_context(Proxy(_start(folder, stack)))
        stack.callback(proxy.shutdown)
        stack.callback(proxy.ended.set)
        threading.Thread(target=proxy.serve_forever, args=(0.05,), daemon=True).start()
        patched.setenv("AWS_ENDPOINT_URL", f"http://127.0.0.1:{proxy.server_port}")
        # Patiently, for a test; and without a pause that a test would have to wait for.
        patched.setattr(object_store, "TIMEOUT", "20s")
        patched.setattr(object_store, "RETRIES", QUICK_RETRIES)
        yield proxy


def _start(folder: Path, stack: ExitStack) -> int:
    """Starts the server; gives its port."""
    users = folder / "users.json"
    users.write_text(json.dumps({"identities": [_USER]}))
    for _ in range(_STARTS):
        s3, *ports = _free_ports(8)
        names = (f"{name}.port{grpc}" for name in ("master", "volume", "filer") for grpc in _GRPC)
        server = subprocess.Popen(
            [
                *(str(SERVER), "-logtostderr=true", "server", "-filer", "-s3"),
                *(f"-dir={folder}", "-ip=127.0.0.1", "-ip.bind=127.0.0.1", f"-s3.port={s3}"),
                *(
                    f"-{name}={port}"
                    for name, port in zip((*names, "s3.port.grpc"), ports, strict=True)
                ),
                *(f"-s3.config={users}", "-s3.port.iceberg=0", "-s3.port.lance=0"),
                *("-volume.max=8", "-master.volumeSizeLimitMB=64"),
            ],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        stack.callback(server.wait)
        stack.callback(server.kill)
        bucket = S3Store(BUCKET, endpoint=f"http://127.0.0.1:{s3}", retry_config=_NO_RETRIES)
        begun = time.monotonic()
        # It ends by itself where another program took one of its ports meanwhile.
        while server.poll() is None and time.monotonic() - begun < _START_SECONDS:
            with suppress(BaseError):
                # The first object makes the bucket.
                obstore.put(bucket, "ready", b"")
                obstore.delete(bucket, "ready")
                return s3
            time.sleep(0.05)
    raise AssertionError("the object store does not start")


def put(key: str, content: bytes | Path) -> str:
    """Puts an object into the bucket; gives its URL."""
    obstore.put(S3Store(BUCKET), key, content, use_multipart=False)
    return f"s3://{BUCKET}/{key}"
