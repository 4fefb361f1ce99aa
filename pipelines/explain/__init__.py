"""``mynapoint explain``: what the book has of a person or a transaction, and why.

``lookup`` finds it (``bookings``, ``declined_rows``, ``events``, ``applications``, ``set_aside``)
and gives a ``story``; ``account`` calculates each entry again from those before it; ``wording``
says it, on the terminal (``output``) or on a page (``page``).
"""
