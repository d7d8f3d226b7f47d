"""A type of content whose own work goes wrong in every way it can; only chaos installs it."""
