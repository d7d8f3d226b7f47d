"""The project: settings, URLs, and what all applications share."""
