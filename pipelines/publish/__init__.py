"""``mynapoint publish``: a copy of the ledger, with its log, in an object store."""
