"""``mynapoint night``: a night's run, with what arrives from whom read from a file."""
