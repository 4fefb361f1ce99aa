"""The book on disk: its folder, the ledger, a run's tables and record, the index."""
