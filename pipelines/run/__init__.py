"""``mynapoint run``: books a night's deliveries and says what became of them."""
