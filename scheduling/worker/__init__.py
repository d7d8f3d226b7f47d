"""What runs by itself, and survives: the supervisor, the batches, the single runs, the mail."""
