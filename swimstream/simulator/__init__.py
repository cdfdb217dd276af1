"""A world of nodes in virtual time, from one seed."""
