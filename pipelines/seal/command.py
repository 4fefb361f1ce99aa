"""The command's body: seal, say what was sealed by what."""

from pathlib import Path

from pipelines.seal import seal
from pipelines.shown.errors import output_may_fail
from pipelines.shown.terminal import output, plain, print_json
from pipelines.shown.texts import Lang, Texts


def seal_book(book: Path, *, key: Path | None, tsa: str | None, lang: Lang, as_json: bool) -> int:
    """Seals a book, and names the files.

    Raises:
        InputError: nothing was asked for, or a seal cannot be had.
        BookError: the book is damaged.
    """
    sealed = seal(book, key=key, tsa=tsa)
    texts = Texts("seal", lang)
    with output_may_fail():
        if as_json:
            print_json(
                {
                    "record": sealed.record.place,
                    "chain_sha256": sealed.record.sha256,
                    "seals": [str(file) for file in sealed.files],
                }
            )
        else:
            console = output()
            console.print(plain(texts("sealed", record=sealed.record.place)))
            console.print(plain(texts("chain", sha256=sealed.record.sha256)))
            for file in sealed.files:
                console.print(plain(texts("written", file=file)))
    return 0
