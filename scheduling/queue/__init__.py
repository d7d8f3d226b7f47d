"""How a task reaches a worker: the broker, the payload, the rows of the queue table."""
