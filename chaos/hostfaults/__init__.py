"""Faults of a host, not of its network: processes that get no CPU or memory, disks that fail, calendars that jump.

Each is a class to be used in a `with` block: the fault begins with the block and ends with it. `check.py` measures for
each that it does what it says; `python -m chaos.hostfaults` shows that, here or in a guest.
"""
