"""ZIP archives: the one table that is packed in one, or a workbook, which is an archive, too."""

import io
import zipfile
from typing import IO, Final

from engine.errors import InputError

ZIP: Final = b"PK\x03\x04"
MAX_DIRECTORY_BYTES: Final = 1 << 20
_PARTS_OF_WORKBOOKS: Final = ("[Content_Types].xml", "xl/")
_NOT_DELIVERED: Final = ("__MACOSX/", ".DS_Store")
_READ_METHODS: Final = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)
_ENCRYPTED: Final = 0x1


class _Bounded(io.BufferedReader):
    """A file of which nothing is read at once that is larger than a directory may be."""

    def read(self, size: int | None = -1, /) -> bytes:
        most = MAX_DIRECTORY_BYTES + 1
        data = super().read(most if size is None or size < 0 else min(size, most))
        if len(data) > MAX_DIRECTORY_BYTES:
            raise zipfile.BadZipFile("its directory is too large")
        return data


def open_archive(file: io.FileIO, name: str) -> zipfile.ZipFile:
    """An archive by its directory; ``file`` stays open as long as it is read.

    Raises:
        zipfile.BadZipFile: it has none, or one that is too large.
        InputError: something in it cannot be unpacked.
    """
    archive = zipfile.ZipFile(_Bounded(io.FileIO(file.fileno(), closefd=False)))
    for packed in archive.infolist():
        if packed.flag_bits & _ENCRYPTED:
            raise InputError(
                f"{name}: this is a ZIP archive with a password",
                hint="unpack it, and name the file in it",
            )
        if packed.compress_type not in _READ_METHODS:
            raise InputError(
                f"{name}: this is a ZIP archive, packed in a way that is not read (method "
                f"{packed.compress_type})",
                hint="unpack it, and name the file in it; read is what deflate has packed",
            )
    return archive


def is_workbook(archive: zipfile.ZipFile) -> bool:
    """Whether an archive is an Excel workbook."""
    return any(name.startswith(_PARTS_OF_WORKBOOKS) for name in archive.namelist())


def table_in(archive: zipfile.ZipFile, name: str) -> IO[bytes]:
    """The bytes of the one file in an archive; folders and what a Mac adds are passed over.

    Raises:
        InputError: there is none, or there are several.
    """
    files = [
        file
        for file in archive.infolist()
        if not file.is_dir() and not file.filename.startswith(_NOT_DELIVERED)
    ]
    if len(files) != 1:
        raise InputError(
            f"{name}: this is a ZIP archive with {len(files):,} files in it, not with one table",
            hint="unpack it, and name the files in it",
        )
    return archive.open(files[0])
