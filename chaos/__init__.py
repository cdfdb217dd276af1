"""Experiments on real processes. Not part of the library: nothing in `swimstream` imports it."""
