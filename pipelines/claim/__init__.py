"""``mynapoint claim``: what may be claimed, by booking or by what was granted; never twice."""
