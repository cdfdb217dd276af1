"""The protocol, without input or output. Read `node.py` first."""
