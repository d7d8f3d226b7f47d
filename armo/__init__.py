"""The project: settings, addresses, and what every application shares."""
