"""The private calendar feed, and the links that open it."""
