"""What editors write: stories and notices."""
