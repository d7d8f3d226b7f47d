"""How a message reaches a process: the broker, the payload, the rows of the queue table."""
