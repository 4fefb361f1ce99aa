"""``mynapoint browse``: read-only pages over a book, on this machine alone.

``counts`` adds the book up once; ``rows`` reads the rows of one page; ``pages`` and ``stories`` say
what a page shows, as ``listing`` has it, and so do ``whole_book``, by ``calculations`` beside the
pages, and ``proof``; ``render`` writes it as HTML, CSV or JSON; ``app`` answers
requests behind ``guard``, and ``lookups`` keeps a log of whose data was looked at.
"""
