"""Deciding and awarding: pure functions from frames to frames.

Enrollments are decided against the ``registry``; transactions are compared with the ``state``,
which is what the book knows (``duplicates``), decided (``deciding``) and awarded (``awarding``), a
slice of people at a time (``fold``). ``remembering`` brings the state up to date.
"""
