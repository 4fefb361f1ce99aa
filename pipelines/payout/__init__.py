"""``mynapoint payout``: instructs what is owed, takes in the answers, says what it did."""
