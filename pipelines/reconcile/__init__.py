"""``mynapoint reconcile``: a claim against the ledger; every difference is one row."""
