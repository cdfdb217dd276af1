"""Tests of who decides: log, elections, leading, following, founding."""
