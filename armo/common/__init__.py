"""What all packages use, and what knows neither content nor engine."""
