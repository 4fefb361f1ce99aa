"""Who may ask: whoever was given the address, from this machine, and for no other site."""

import secrets
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any, Final

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
Asgi = Callable[[Scope, Receive, Send], Awaitable[None]]

_TOKEN_BYTES: Final = 32
_POLICY: Final = (
    "default-src 'none'; style-src 'self'; img-src data:; form-action 'self'; base-uri 'none'; "
    "frame-ancestors 'none'"
)
_HEADERS: Final = {
    "content-security-policy": _POLICY,
    "cache-control": "no-store",
    "referrer-policy": "same-origin",
    "x-content-type-options": "nosniff",
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
}


def new_token() -> str:
    """A secret for the address, which nobody can guess."""
    return secrets.token_urlsafe(_TOKEN_BYTES)


class Guard:
    """Lets a request through if its host, its origin and the token in its path are ours.

    The host is looked at because a foreign site's name can be made to point to this machine; the
    origin because a browser sends requests for any page that asks it to.
    """

    def __init__(self, app: Asgi, token: str, port: int) -> None:
        self._app, self._prefix = app, f"/{token}"
        self._hosts = {f"127.0.0.1:{port}", f"localhost:{port}"}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return
        status = self._refusal(scope)
        if status:
            await _answer(send, status)
            return
        path = scope["path"].removeprefix(self._prefix)
        inner = {**scope, "path": path, "raw_path": path.encode(), "root_path": ""}
        await self._app(inner, receive, _with_headers(send))

    def _refusal(self, scope: Scope) -> int:
        """The status of a request that is refused; 0 for one that is not."""
        headers: dict[str, list[str]] = {}
        for name, value in scope["headers"]:
            headers.setdefault(name.decode("latin-1"), []).append(value.decode("latin-1"))
        [host, *more] = headers.get("host", [""])
        if more or host not in self._hosts:
            return 421
        origins = headers.get("origin", [])
        if any(origin != f"http://{host}" for origin in origins):
            return 403
        if any(site not in ("none", "same-origin") for site in headers.get("sec-fetch-site", [])):
            return 403
        given = scope["path"].encode("utf-8", "surrogateescape")
        prefix = f"{self._prefix}/".encode()
        return 0 if secrets.compare_digest(given[: len(prefix)], prefix) else 404


def _with_headers(send: Send) -> Send:
    async def sending(message: Message) -> None:
        if message["type"] == "http.response.start":
            given = [(name.encode(), value.encode()) for name, value in _HEADERS.items()]
            message["headers"] = [*message["headers"], *given]
        await send(message)

    return sending


async def _answer(send: Send, status: int) -> None:
    sending = _with_headers(send)
    headers = [(b"content-type", b"text/plain; charset=utf-8")]
    await sending({"type": "http.response.start", "status": status, "headers": headers})
    await sending({"type": "http.response.body", "body": f"{status}\n".encode()})
