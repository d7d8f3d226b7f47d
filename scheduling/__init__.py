"""The engine: makes things happen at their moment, once. It knows no type of content."""
