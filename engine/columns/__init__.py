"""Kernels for whole columns of numbers and text, without a word of the domain.

Hashes of text, text order by code point, the bytes of texts, copies that share no memory.
"""
