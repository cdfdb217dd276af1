"""Bytes to messages and back. Hostile input ends here."""
