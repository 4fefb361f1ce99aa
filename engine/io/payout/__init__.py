"""The payout run: what is owed goes out in files, what was answered comes in, one commit each.

``payout_run`` is the door; ``known`` reads the book; ``calculation`` goes through accounts range by
range; ``instructing`` and ``files`` write what leaves; ``answering`` takes in what the points
systems said.
"""
