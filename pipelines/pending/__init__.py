"""``mynapoint pending``: what waits in a book, why, for how long, and what is at stake."""
