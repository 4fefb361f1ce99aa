"""How providers write their files, and how such files become canonical rows.

A layout (``model``) is data, made from a TOML text by ``parsing`` and its sections; ``catalogue``
finds it, ``parameters`` adds what is said of one file. ``canonical_rows`` applies it to whole
columns (``canonical_columns``), with ``dates`` and ``amounts`` in the provider's own forms;
``equal_rows`` numbers rows that have no number; ``provider_faults`` names faults by the provider's
columns.
``shipped/`` holds the layouts that come with the engine.
"""
