"""The types of content: stories and notices."""
