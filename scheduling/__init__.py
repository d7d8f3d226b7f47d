"""The engine: runs each job once, at its time. It knows no type of content."""

# Of the whole project; pyproject.toml reads it here. Workers store it with their heartbeats.
__version__ = "0.2.0"
