"""Tests of the examples: operators alone, all together, and the plain computation."""
