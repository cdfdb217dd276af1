"""Tests of bytes and messages."""
