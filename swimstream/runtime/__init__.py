"""Trio: sockets, streams, disk, the thread of the peer and the control port."""
