"""The head of a book's chain and the seals of it, as every result of the desk names them."""

from collections.abc import Sequence

from pipelines.shown.texts import Lang, Texts


def head_facts(chain_sha256: str, seals: Sequence[str], lang: Lang) -> list[tuple[str, object]]:
    """Label and value of both."""
    texts = Texts("head", lang)
    said = texts("seals_value", seals=", ".join(seals)) if seals else texts("no_seals")
    return [(texts("chain"), chain_sha256), (texts("seals"), said)]
