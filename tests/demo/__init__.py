"""The demo as a user runs it: a subprocess."""
