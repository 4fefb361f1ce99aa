"""What the index says of itself: the one file of it that nothing else vouches for."""

import hashlib
import json
from pathlib import Path
from typing import Any, Final

from engine.io.book.checked import DamagedIndex
from engine.io.durable import remove, rename, sync, write_json

MANIFEST: Final = "manifest.json"

Manifest = dict[str, Any]


def read_manifest(folder: Path) -> Manifest | None:
    """The manifest of an index; None where there is no index.

    Raises:
        DamagedIndex: it cannot be read, or is not what was written.
    """
    path = folder / MANIFEST
    try:
        manifest = json.loads(path.read_bytes())
        sha256 = manifest.pop("sha256")
    except FileNotFoundError:
        return None
    except OSError as error:
        raise DamagedIndex(f"{path}: it cannot be read: {error.strerror}") from error
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise DamagedIndex(f"{path}: it is not what was written") from error
    if sha256 != _digest(manifest):
        raise DamagedIndex(f"{path}: it is not what was written")
    return dict(manifest)


def write_manifest(folder: Path, manifest: Manifest) -> None:
    """Puts a manifest in the place of the one before, once all that it names is on the disk."""
    sync(folder)
    fresh = folder / "manifest.new"
    write_json(fresh, manifest | {"sha256": _digest(manifest)})
    rename(fresh, folder / MANIFEST)
    sync(folder)


def remove_manifest(folder: Path) -> None:
    """Makes an index one that is not there, whatever else is left of it."""
    if (folder / MANIFEST).is_file():
        remove(folder / MANIFEST)
        sync(folder)


def _digest(manifest: Manifest) -> str:
    return hashlib.sha256(json.dumps(manifest, sort_keys=True).encode()).hexdigest()
