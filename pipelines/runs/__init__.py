"""The desk of the operator: which runs there are, and how a book stands."""
