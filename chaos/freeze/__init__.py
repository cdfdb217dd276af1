"""A worker whose operators keep the interpreter to themselves must count as frozen, never as dead: real processes."""
