"""The seals of a book, and heads of its chain that somebody wrote down: what they vouch for.

A seal that does not fit the record that it names is a finding: the book was made anew, cut off, or
the seal is another book's. One by somebody whom the verifier does not know is a remark; but if
signers or authorities were named and none of them has sealed anything, that is a finding.
"""

import datetime as dt
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from engine.errors import InputError
from engine.io.book.chain import ChainRecord
from engine.io.book.folder import Book
from engine.paths import local_path
from pipelines.desk.seals import SEALS_FOLDER, Seal, SealKind, seal_at, seals_of
from pipelines.seal.signatures import check_signers, checked, has_ssh_keygen
from pipelines.seal.timestamps import is_trusted, load_trust, stamp_in
from pipelines.verify.findings import NO_CHANGED_BYTE, REMARK, Finding, Findings

if TYPE_CHECKING:
    from cryptography.x509 import Certificate

_SHA256: Final = re.compile("[0-9a-f]{64}")


@dataclass(frozen=True, slots=True)
class Expected:
    """What the verifier knows from elsewhere.

    Attributes:
        signers: a file of allowed signers, for signatures.
        trust: the certificates of authorities, for time stamps; None where none are given.
        heads: last hashes of the chain that were written down earlier.
        copies: seals that were kept outside of the book.
    """

    signers: Path | None = None
    trust: "list[Certificate] | None" = None
    heads: tuple[str, ...] = ()
    copies: tuple[Seal, ...] = ()

    @classmethod
    def of(
        cls,
        signers: Path | None = None,
        trust: Path | None = None,
        heads: Sequence[str] = (),
        copies: Sequence[Path] = (),
    ) -> "Expected":
        """What was given, looked at before any work is done.

        Raises:
            InputError: something of it cannot be used.
        """
        if signers is not None:
            signers = local_path(signers)
            check_signers(signers)
        return cls(
            signers,
            None if trust is None else load_trust(local_path(trust)),
            tuple(_head(head) for head in heads),
            tuple(_copy(local_path(path)) for path in copies),
        )


def _head(text: str) -> str:
    head = text.strip().lower()
    if not _SHA256.fullmatch(head):
        raise InputError(
            f"--head: expected a SHA-256 of 64 hex digits, got {text!r}",
            hint="it is the last hash of the chain that claim, report and verify print",
        )
    return head


def _copy(path: Path) -> Seal:
    seal = seal_at(path) if path.is_file() else None
    if seal is None:
        raise InputError(
            f"--seal: {path}: not a seal's file", hint="name a .sig or a .tsr file of BOOK/seals"
        )
    return seal


@dataclass(frozen=True, slots=True)
class Vouching:
    """A seal that fits its record.

    Attributes:
        name: the seal's file.
        record: what it seals.
        by: the signer or the authority; of a signer who is not known, the key.
        at: of a time stamp, when it was made, in UTC.
        trusted: whether it is by somebody whom the verifier named; None where nobody was named.
    """

    name: str
    kind: SealKind
    record: ChainRecord
    by: str
    at: dt.datetime | None
    trusted: bool | None

    def value(self) -> dict[str, Any]:
        """The seal for machines."""
        return {
            "seal": self.name,
            "kind": self.kind,
            "record": self.record.place,
            "sha256": self.record.sha256,
            "by": self.by,
            "at": None if self.at is None else self.at.isoformat(),
            "trusted": self.trusted,
        }


@dataclass(slots=True)
class Vouched:
    """What stands for the book from outside of it.

    Attributes:
        seals: those that fit.
        heads: the records whose digests were written down.
    """

    seals: list[Vouching] = field(default_factory=list)
    heads: list[ChainRecord] = field(default_factory=list)


def check_seals(
    book: Book, chain: Sequence[ChainRecord], expected: Expected, findings: Findings
) -> Vouched:
    """Holds seals and heads against the chain."""
    vouched = Vouched()
    by_sha256 = {record.sha256: record for record in chain}
    for head in expected.heads:
        if head in by_sha256:
            vouched.heads.append(by_sha256[head])
        else:
            what = f"no record of this book has the sha256 {head}: the book was changed before that"
            findings.add(Finding("head", NO_CHANGED_BYTE, "runs", what))
    for seal in (*seals_of(book), *expected.copies):
        is_kept = seal.path.is_relative_to(book.path)
        where = seal.path.relative_to(book.path).as_posix() if is_kept else str(seal.path)
        check = _signature if seal.kind == "signature" else _timestamp
        for result in check(seal, where, chain, expected):
            if isinstance(result, Finding):
                findings.add(result)
            else:
                vouched.seals.append(result)
    for finding in _missing(vouched, expected):
        findings.add(finding)
    for name in _unknown(book):
        findings.add(Finding("unknown", NO_CHANGED_BYTE, name, "this is not a seal"))
    return vouched


def _sealed_by_name(seal: Seal, chain: Sequence[ChainRecord]) -> list[ChainRecord]:
    """The record that a seal names; of a copy with another name, all of them, the last first."""
    return [record for record in chain[::-1] if seal.place in (None, record.place)]


def _misfit(seal: Seal, where: str, sealed: Sequence[ChainRecord]) -> Finding:
    if seal.place is None:
        what = "it is a seal of no record of this book"
    elif not sealed:
        what = f"{seal.place} was sealed and is not in the book: runs were cut off"
    else:
        what = f"{seal.place}/record.json is not the record that was sealed"
    return Finding("seal", NO_CHANGED_BYTE, where, what)


def _signature(
    seal: Seal, where: str, chain: Sequence[ChainRecord], expected: Expected
) -> Iterator[Finding | Vouching]:
    if not has_ssh_keygen():
        what = "not checked: ssh-keygen is not installed"
        yield Finding("unchecked_seal", NO_CHANGED_BYTE, where, what, severity=REMARK)
        return
    sealed = _sealed_by_name(seal, chain)
    for record in sealed:
        signature = checked(seal.path, record.path.read_bytes(), expected.signers)
        if signature is None:
            continue
        trusted = None if expected.signers is None else signature.signer is not None
        if trusted is False:
            what = f"it is signed with a key of none of the signers: {signature.key}"
            yield Finding("unknown_signer", NO_CHANGED_BYTE, where, what, severity=REMARK)
        by = signature.signer or signature.key
        yield Vouching(where, seal.kind, record, by, None, trusted)
        return
    yield _misfit(seal, where, sealed)


def _timestamp(
    seal: Seal, where: str, chain: Sequence[ChainRecord], expected: Expected
) -> Iterator[Finding | Vouching]:
    try:
        stamp = stamp_in(seal.path)
    except ImportError:
        what = "not checked: pip install 'mynapoint[seal]'"
        yield Finding("unchecked_seal", NO_CHANGED_BYTE, where, what, severity=REMARK)
        return
    sealed = _sealed_by_name(seal, chain)
    if stamp is None:
        yield Finding("seal", NO_CHANGED_BYTE, where, "there is no time stamp in it")
        return
    record = next((record for record in sealed if record.sha256 == stamp.sha256), None)
    if record is None:
        yield _misfit(seal, where, sealed)
        return
    trusted = None
    if expected.trust is not None:
        why_not = is_trusted(seal.path, record.path.read_bytes(), expected.trust)
        trusted = why_not is None
        if why_not is not None:
            what = f"the time stamp is not to be believed by these authorities: {why_not}"
            yield Finding("unknown_signer", NO_CHANGED_BYTE, where, what, severity=REMARK)
    yield Vouching(where, seal.kind, record, stamp.authority, stamp.at, trusted)


def _missing(vouched: Vouched, expected: Expected) -> Iterator[Finding]:
    wanted: tuple[tuple[object, SealKind, str], ...] = (
        (expected.signers, "signature", "none of the signers has sealed this book"),
        (expected.trust, "timestamp", "none of the authorities has stamped this book"),
    )
    for given, kind, what in wanted:
        if given is not None and not any(
            seal.kind == kind and seal.trusted for seal in vouched.seals
        ):
            yield Finding("not_sealed", NO_CHANGED_BYTE, SEALS_FOLDER, what)


def _unknown(book: Book) -> Iterator[str]:
    """What is in the folder of seals and is none."""
    known = {seal.path for seal in seals_of(book)}
    folder = book.path / SEALS_FOLDER
    for path in sorted(folder.iterdir()) if folder.is_dir() else ():
        if path not in known and not path.is_symlink():
            yield path.relative_to(book.path).as_posix()
