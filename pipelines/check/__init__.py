"""``mynapoint check``: a night's files, looked at all at once, against the book."""
