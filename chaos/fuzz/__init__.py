"""Hostile bytes by the million: nothing but `WireError` leaves the decoder, nothing at all leaves a node."""
