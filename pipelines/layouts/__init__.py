"""What an operator does with layouts: list them, try one on a file, draft one for a new file."""
