"""The committed list of public names is the code's: who changes one sees it in the change."""

import difflib

from deliveries import ROOT
from public_names import public_names


def test_public_names_change_only_together_with_their_list() -> None:
    committed = (ROOT / "docs/public-names.txt").read_text(encoding="utf-8").splitlines()
    changes = [
        line
        for line in difflib.unified_diff(committed, list(public_names()), n=0, lineterm="")
        if line[0] in "+-" and line[:3] not in ("+++", "---")
    ]
    assert not changes, (
        "see docs/compatibility.md, then: "
        "python tests/support/public_names.py > docs/public-names.txt"
    )
