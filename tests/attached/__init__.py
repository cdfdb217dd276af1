"""A process in another language as a worker: the control port of a peer."""
