"""``mynapoint replay``: a book's nights once more, into a new book, and the two compared."""
