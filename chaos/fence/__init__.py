"""A paused at-most-one operator must not write once it may run elsewhere: real processes, SIGSTOP, SQLite."""
