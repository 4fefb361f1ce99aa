"""SSH signatures, made and checked by OpenSSH's ``ssh-keygen -Y``."""

import re
import shutil
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from engine.errors import InputError

NAMESPACE: Final = "mynapoint-book"
_GOOD: Final = re.compile(r'Good ".*" signature (?:for .* )?with (\S+) key (\S+)')


@dataclass(frozen=True, slots=True)
class Signature:
    """A signature that fits its message.

    Attributes:
        signer: whose it is by the file of signers; None where no signer there has made it.
        key: the key's fingerprint.
    """

    signer: str | None
    key: str


def has_ssh_keygen() -> bool:
    """Whether OpenSSH is installed."""
    return shutil.which("ssh-keygen") is not None


def require_ssh_keygen(option: str) -> None:
    """Makes sure that OpenSSH is installed.

    Raises:
        InputError: it is not.
    """
    if not has_ssh_keygen():
        raise InputError(
            f"{option}: ssh-keygen is not installed",
            hint="install OpenSSH's client (Debian: openssh-client)",
        )


def sign(message: bytes, key: Path) -> bytes:
    """Signs a message with a private key, or with the agent's where a public one is named.

    Raises:
        InputError: the key cannot be used.
    """
    require_ssh_keygen("--key")
    if not key.is_file():
        raise InputError(
            f"--key: {key}: there is no such file",
            hint="name a private key, or a public one whose private key the SSH agent holds",
        )
    done = _run(["sign", "-n", NAMESPACE, "-f", str(key.absolute())], message)
    if done.returncode or not done.stdout.startswith(b"-----BEGIN SSH SIGNATURE-----"):
        raise InputError(
            f"--key: {key}: ssh-keygen cannot sign with it: {_last_line(done.stderr)}",
            hint="try it with ssh-keygen -Y sign; a private key must be its owner's alone (0600)",
        )
    return done.stdout


def checked(signature: Path, message: bytes, signers: Path | None) -> Signature | None:
    """Whose signature of a message a file is; None where it is not of this message.

    Args:
        signature: the file.
        message: what was signed.
        signers: a file of allowed signers, as ssh-keygen(1) describes it.
    """
    of_file = ["-n", NAMESPACE, "-s", str(signature.absolute())]
    key = _key(_run(["check-novalidate", *of_file], message))
    if key is None or signers is None:
        return Signature(None, key) if key else None
    allowed = ["-f", str(signers.absolute())]
    found = _run(["find-principals", "-s", str(signature.absolute()), *allowed], b"")
    for signer in found.stdout.decode("utf-8", "replace").splitlines():
        if _key(_run(["verify", *allowed, "-I", signer, *of_file], message)):
            return Signature(signer, key)
    return Signature(None, key)


def check_signers(signers: Path) -> None:
    """Makes sure, before any work is done, that signatures can be held against a file of signers.

    Raises:
        InputError: they cannot.
    """
    require_ssh_keygen("--signers")
    try:
        lines = signers.read_text("utf-8").splitlines()
    except (OSError, ValueError) as error:
        raise InputError(
            f"--signers: {signers}: the file cannot be read",
            hint="a line for each signer: NAME KEYTYPE KEY, as ssh-keygen(1) has it",
        ) from error
    if not any(line.strip() and not line.startswith("#") for line in lines):
        raise InputError(
            f"--signers: {signers}: the file names nobody",
            hint="a line for each signer: NAME KEYTYPE KEY, as ssh-keygen(1) has it",
        )


def _key(done: subprocess.CompletedProcess[bytes]) -> str | None:
    good = _GOOD.search(done.stdout.decode("utf-8", "replace"))
    return f"{good[1]} {good[2]}" if good and not done.returncode else None


def _run(arguments: Sequence[str], message: bytes) -> subprocess.CompletedProcess[bytes]:
    command = ["ssh-keygen", "-Y", *arguments]
    return subprocess.run(command, input=message, capture_output=True, check=False)  # noqa: S603


def _last_line(text: bytes) -> str:
    lines = text.decode("utf-8", "replace").strip().splitlines()
    return lines[-1] if lines else "it says nothing"
