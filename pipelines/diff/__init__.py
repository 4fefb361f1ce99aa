"""``mynapoint diff``: what the runs between two points in a book's time changed."""
