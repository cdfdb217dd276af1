"""Rules of the protocol, broken on purpose one at a time in a copy of the tree: each must turn a check red."""
