"""Files at the edges: what is delivered comes in, what is booked goes to the disk.

``durable`` is the one door through which bytes are written, synced and renamed; ``delivered`` reads
deliveries; ``book`` knows where everything in a book stands and reads it back; ``run`` and
``payout`` carry a run or a payout run from the first byte to its commit.
"""
