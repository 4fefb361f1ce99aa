"""Delivered text becomes values, or named faults; Individual Numbers are refused.

``forms`` say how a column is written, ``cells``, ``instants`` and ``canonical`` read whole columns
by them.
"""
