"""Faults of the network as values, and labs that make them real: netem, an emulator over TUN, the simulator."""
