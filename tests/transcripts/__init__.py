"""Golden stories."""
