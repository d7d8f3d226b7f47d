"""The REST API of items of every type, and of jobs."""
