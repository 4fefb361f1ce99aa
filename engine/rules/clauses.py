"""The notice's words by the reason that they give; each stands, once, at the rule it belongs to."""

from engine.rules import QUOTED, application, award, periods, refunds, spending

# The rules put their quotations there when they are imported.
_RULES = (application, award, periods, refunds, spending)


def clause_of(reason: str) -> str | None:
    """The clause of the notice that a reason rests on; None where the notice says nothing of it.

    ``counted_spend`` is the clause of the cap, ``worth`` that of the rate.
    """
    return QUOTED.get(reason)
