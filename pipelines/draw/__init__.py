"""``mynapoint draw``: samples to audit, drawn so that anybody can draw them again, and evaluated.

``randomness`` gives numbers from a seed; ``population`` finds the rows that they mean; ``sample``
is what was drawn, ``sheet`` writes it to be filled in and reads it back; ``evaluation`` projects
what was found onto the book.
"""
