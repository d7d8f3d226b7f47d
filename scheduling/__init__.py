"""The engine: runs each job once, at its time. It knows no type of content."""
