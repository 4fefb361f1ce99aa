"""Makes sample deliveries: what payment services hand over in a few nights, faults and all.

The same seed makes the same bytes. ``chance`` and ``calendar`` give values and days; ``providers``
says who delivers, ``flaws`` what is wrong on purpose; ``people`` apply, ``spending`` is what they
pay and get back, ``corrections`` the events; ``files`` writes it all; ``making`` puts the parts
together.
"""

from pipelines.sample.making import write_sample

__all__ = ["write_sample"]
