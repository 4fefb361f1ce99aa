"""A folder of papers as one ZIP file, with a list of digests that ``sha256sum -c`` reads."""

import datetime as dt
import shutil
import zipfile
from pathlib import Path
from typing import Final

from engine.io.durable import sha256_of

DIGESTS: Final = "SHA256SUMS"


def pack(folder: Path, archive: Path, day: dt.date) -> int:
    """Packs the files of a folder and their digests; gives how many papers there are.

    The order and the times in the archive follow from the papers and the day alone.
    """
    papers = sorted(path for path in folder.rglob("*") if path.is_file())
    names = [path.relative_to(folder).as_posix() for path in papers]
    digests = "".join(
        f"{sha256_of(path)}  {name}\n" for path, name in zip(papers, names, strict=True)
    )
    (folder / DIGESTS).write_text(digests, encoding="utf-8")
    with zipfile.ZipFile(archive, "w", zipfile.ZIP_DEFLATED) as packed:
        for path, name in [*zip(papers, names, strict=True), (folder / DIGESTS, DIGESTS)]:
            entry = zipfile.ZipInfo(name, (day.year, day.month, day.day, 0, 0, 0))
            entry.compress_type = zipfile.ZIP_DEFLATED
            entry.external_attr = 0o600 << 16
            with path.open("rb") as source, packed.open(entry, "w", force_zip64=True) as target:
                shutil.copyfileobj(source, target)
    return len(papers)
