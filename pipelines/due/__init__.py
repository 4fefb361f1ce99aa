"""``mynapoint due``: the bridge from award to grant on a day, and what comes due when."""
