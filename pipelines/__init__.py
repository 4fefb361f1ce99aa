"""What operators and auditors type.

``commands`` has the options and the help, ``cli`` puts them together; each command has a folder of
its own with ``command.py`` (which gives the exit code), what it finds, and how that is shown.
``desk`` is what commands share of books, ``shown`` what they share of terminals, pages and words.
"""
