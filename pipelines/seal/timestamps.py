"""Time stamps as RFC 3161 has them (in Japan, 認定タイムスタンプ): asked for, and checked."""

import datetime as dt
import hashlib
import urllib.error
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final
from urllib.parse import urlsplit

from engine.errors import InputError
from engine.extras import require_extra

if TYPE_CHECKING:
    from cryptography.x509 import Certificate
    from rfc3161_client import TimeStampResponse

_TIMEOUT_SECONDS: Final = 30
_LONGEST_ANSWER: Final = 1 << 20
_CERTIFICATES: Final = (".pem", ".crt", ".cer", ".der")
_SHA256: Final = "2.16.840.1.101.3.4.2.1"
_PEM: Final = b"-----BEGIN CERTIFICATE-----"


@dataclass(frozen=True, slots=True)
class TimeStamp:
    """What a token says.

    Attributes:
        sha256: of the message that it stamps, in hex; None where another digest was used.
        at: when, in UTC.
        authority: the name in the certificate that signed it.
    """

    sha256: str | None
    at: dt.datetime
    authority: str


def require_rfc3161(option: str) -> None:
    """Makes sure that time stamps can be read.

    Raises:
        InputError: the extra is not installed.
    """
    require_extra(option, "seal", "rfc3161_client")


def ask(url: str, message: bytes) -> bytes:
    """Asks an authority for a time stamp of a message; gives its answer, which holds a token.

    Raises:
        InputError: it cannot be reached, or does not give such a token.
    """
    require_rfc3161("seal --tsa")
    from rfc3161_client import TimestampRequestBuilder
    from rfc3161_client.base import HashAlgorithm

    if urlsplit(url).scheme not in {"http", "https"}:
        raise InputError(
            f"--tsa: {url}: not a URL that begins with http:// or https://",
            hint="the authority says under which URL it takes requests",
        )
    request = (
        TimestampRequestBuilder()
        .data(message)
        .hash_algorithm(HashAlgorithm.SHA256)
        .nonce(nonce=True)
        .cert_request(cert_request=True)
        .build()
    )
    answer = _posted(url, request.as_bytes())
    response = _decoded(answer)
    refused = (
        "it does not answer with a time stamp"
        if response is None
        else f"it refuses: {'; '.join(response.status_string) or f'status {response.status}'}"
        if response.status != 0
        else "its time stamp is of something else"
        if response.tst_info.message_imprint.message != hashlib.sha256(message).digest()
        or response.tst_info.nonce != request.nonce
        else None
    )
    if refused:
        raise InputError(f"--tsa: {url}: {refused}", hint="ask the authority; nothing was sealed")
    return answer


def _posted(url: str, body: bytes) -> bytes:
    headers = {"Content-Type": "application/timestamp-query"}
    request = urllib.request.Request(url, body, headers)  # noqa: S310 - http and https alone
    try:
        with urllib.request.urlopen(request, timeout=_TIMEOUT_SECONDS) as answer:  # noqa: S310
            return bytes(answer.read(_LONGEST_ANSWER))
    except (OSError, ValueError) as error:
        reason = getattr(error, "reason", None) or error
        raise InputError(
            f"--tsa: {url}: the authority cannot be asked: {reason}",
            hint="check the URL and the network; nothing was sealed",
        ) from error


def _decoded(answer: bytes) -> "TimeStampResponse | None":
    from rfc3161_client import decode_timestamp_response

    try:
        return decode_timestamp_response(answer)
    except ValueError:
        return None


def stamp_in(file: Path) -> TimeStamp | None:
    """What the token in a file says, believed or not; None where there is none in it."""
    response = _decoded(file.read_bytes())
    try:
        if response is None or response.status != 0:
            return None
        info = response.tst_info
        imprint = info.message_imprint
        is_sha256 = imprint.hash_algorithm.dotted_string == _SHA256
        return TimeStamp(
            imprint.message.hex() if is_sha256 else None, info.gen_time, _authority(response)
        )
    except ValueError:
        return None


def _authority(response: "TimeStampResponse") -> str:
    from cryptography.x509 import load_der_x509_certificate

    signers = {
        (signer.issuer, signer.serial_number) for signer in response.signed_data.signer_infos
    }
    for der in response.signed_data.certificates:
        certificate = load_der_x509_certificate(der)
        if (certificate.issuer, certificate.serial_number) in signers:
            return certificate.subject.rfc4514_string()
    return next((issuer.rfc4514_string() for issuer, _ in signers), "")


def is_trusted(file: Path, message: bytes, trust: "list[Certificate]") -> str | None:
    """Why the token in a file is not to be believed; None where it is.

    Its certificates must have been valid when it was made; that they have expired since is no
    fault.
    """
    from rfc3161_client import VerificationError, VerifierBuilder

    roots = [certificate for certificate in trust if certificate.issuer == certificate.subject]
    others = [certificate for certificate in trust if certificate.issuer != certificate.subject]
    response = _decoded(file.read_bytes())
    if response is None:
        return "there is no time stamp in it"
    try:
        VerifierBuilder(roots=roots, intermediates=others).build().verify_message(response, message)
    except (VerificationError, ValueError) as error:
        return (str(error).splitlines() or [type(error).__name__])[0]
    return None


def load_trust(folder: Path) -> "list[Certificate]":
    """The certificates of authorities in a folder, PEM or DER.

    Raises:
        InputError: there are none, or one cannot be read.
    """
    require_rfc3161("verify --trust")
    try:
        files = sorted(file for file in folder.iterdir() if file.suffix.lower() in _CERTIFICATES)
        trust = [certificate for file in files for certificate in _certificates(file)]
    except OSError as error:
        raise InputError(
            f"--trust: {folder}: the folder cannot be read",
            hint="name a folder with the authorities' certificates (.pem, .crt, .cer, .der)",
        ) from error
    if not any(certificate.issuer == certificate.subject for certificate in trust):
        raise InputError(
            f"--trust: {folder}: no root certificate is in this folder",
            hint="put the authority's root there, as .pem, .crt, .cer or .der",
        )
    return trust


def _certificates(file: Path) -> "Iterator[Certificate]":
    from cryptography.x509 import load_der_x509_certificate, load_pem_x509_certificates

    data = file.read_bytes()
    try:
        if _PEM in data:
            yield from load_pem_x509_certificates(data)
        else:
            yield load_der_x509_certificate(data)
    except ValueError as error:
        raise InputError(
            f"--trust: {file}: not a certificate", hint="take the file out of the folder"
        ) from error
