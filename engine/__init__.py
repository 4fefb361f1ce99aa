"""The engine: deliveries in, a validated ledger of awards out.

``terms``, ``records`` and ``layouts`` say what is data; ``rules`` carry out the notice;
``reading`` makes values of delivered text; ``booking`` decides and awards, from frames to frames;
``io`` reads deliveries and writes the book. ``import mynapoint`` is the public name.
"""
