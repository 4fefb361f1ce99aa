"""A run: deliveries are taken in, shuffled to slices of people, folded, published, committed."""
