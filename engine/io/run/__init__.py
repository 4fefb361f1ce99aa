"""A run: deliveries are taken in, shuffled to slices of people, folded, published, committed.

``nightly`` is the door; ``order`` what was asked for; ``one_run`` what comes before and after the
calculation. ``calculation`` goes through events, enrollments and transactions; ``intake`` takes
rows to the ``shuffle``, ``reconsidering`` adds what waited in the book, ``slices`` are folded.
"""
