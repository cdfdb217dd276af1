"""Tests of what is decided, and where things are placed."""
