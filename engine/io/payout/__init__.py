"""The payout run: what is owed goes out in files, what was answered comes in, one commit each."""
