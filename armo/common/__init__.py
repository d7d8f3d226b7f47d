"""What all of Armo stands on, and what knows neither content nor engine."""
