"""The book on disk: its folder, the ledger, a run's tables and record, the index.

``folder`` says where everything is, ``format`` how it is named and shaped, ``run_record`` what a
run says of itself. ``writing`` holds the lock and publishes a run, ``ledger`` and ``tables`` write
its files, ``log`` commits it. ``index`` keeps what a night must know of earlier ones, made from
committed runs alone (``indexing``) and read by checked blocks (``checked``).
"""
