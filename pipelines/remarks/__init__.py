"""``mynapoint remarks``: patterns in a book that an auditor may want to ask about.

``looked_for`` names them and says what fits, with every threshold; ``noticed`` looks; ``output``
says how many there are, and writes them down. None of them is wrong in itself.
"""
