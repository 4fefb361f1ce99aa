"""What a run's record must look like, by format; written down independently of the engine."""

from typing import Any, Final

from pipelines.verify.shape import (
    COUNT,
    COUNT_OR_NULL,
    DAY,
    LAYOUT_ID,
    TEXT,
    TEXT_OR_NULL,
    TRUE_OR_FALSE,
    Each,
    Optionally,
)

_SPLIT: Final = {
    "read": COUNT,
    "booked": COUNT,
    "declined": Each(dict, COUNT),
    "quarantined": COUNT,
    "skipped": Optionally(Each(dict, COUNT)),
}
_INPUT: Final = {
    "role": TEXT,
    "name": TEXT,
    "bytes": COUNT,
    "sha256": TEXT,
    "rows": COUNT,
    "layout": Optionally({"id": LAYOUT_ID, "sha256": TEXT, "parameters": Each(dict, TEXT)}),
}
_RAN: Final = {
    "started_at": TEXT,
    "finished_at": TEXT,
    "user": TEXT,
    "host": TEXT,
    "command": TEXT,
}
_DECISIONS: Final = {
    "read": COUNT,
    "accepted": COUNT,
    "unchanged": COUNT,
    "rejected": Each(dict, COUNT),
    "quarantined": COUNT,
    "skipped": Optionally(Each(dict, COUNT)),
}
RECORD_OF_FORMAT_1: Final[dict[str, Any]] = {
    "format": Optionally(1),
    "run_id": TEXT,
    "booked_on": DAY,
    "programme": {
        "id": TEXT,
        "sha256": TEXT,
        "terms": {
            "announced_on": DAY,
            "window_first": DAY,
            "window_last": DAY,
            "applications_last": DAY,
            "card_applications_last": DAY,
            "source": TEXT,
        },
    },
    "services_sha256": TEXT,
    "inputs": Each(list, _INPUT),
    "counts": {
        **_SPLIT,
        "people": COUNT,
        "people_at_the_cap": COUNT,
        "enrollments": _DECISIONS,
    },
    "yen": _SPLIT,
    "points": {"awarded": COUNT, "reversed": COUNT},
    "outputs": Each(
        list, {"name": TEXT, "bytes": COUNT, "sha256": TEXT, "rows": Optionally(COUNT)}
    ),
    "ledger_version": COUNT,
    "engine": Each(dict, TEXT),
    "previous_sha256": TEXT_OR_NULL,
}
_RECONSIDERED: Final = {"reconsidered": COUNT}
RECORD: Final = {
    **RECORD_OF_FORMAT_1,
    "format": 2,
    "programme": {**RECORD_OF_FORMAT_1["programme"], "built_in": TRUE_OR_FALSE},
    "counts": {
        **RECORD_OF_FORMAT_1["counts"],
        **_RECONSIDERED,
        "voided": COUNT,
        "recounted": COUNT,
        "recounted_of_format_1": Optionally(COUNT),
        "enrollments": {**_DECISIONS, **_RECONSIDERED},
        "events": {**_DECISIONS, **_RECONSIDERED},
    },
    "yen": {**_SPLIT, **_RECONSIDERED},
    "ran": _RAN,
    "warnings": Each(list, {"file": TEXT, "row": COUNT, "what": TEXT}),
    "gates": Optionally(
        Each(
            list,
            {
                "gate": TEXT,
                "bound": TEXT,
                "limit": COUNT,
                "value": COUNT,
                "reference": COUNT_OR_NULL,
                "what": TEXT,
                "is_allowed": Optionally(TRUE_OR_FALSE),
            },
        )
    ),
}
