"""Handles: what stands in addresses for the IDs of people, accounts and transactions."""

import hashlib
import secrets
from typing import Final

_BYTES: Final = 12


class Handles:
    """Keeps for each handle what it stands for, as long as the command runs.

    An address stays in a browser's history, and is shown to whoever looks over a shoulder.
    """

    def __init__(self) -> None:
        self._key = secrets.token_bytes(16)
        self._ids: dict[tuple[str, str], tuple[str, ...]] = {}

    def of(self, kind: str, *ids: str) -> str:
        """The handle of an ID, or of several that together name something of a kind."""
        text = "\0".join((kind, *ids)).encode("utf-8", "surrogatepass")
        handle = hashlib.blake2b(text, key=self._key, digest_size=_BYTES).hexdigest()
        self._ids[kind, handle] = ids
        return handle

    def ids(self, kind: str, handle: str | None) -> tuple[str, ...] | None:
        """What a handle stands for; None for one that was not given out."""
        return self._ids.get((kind, handle or ""))
