"""How an instance is run: an async task or a function in a thread."""
