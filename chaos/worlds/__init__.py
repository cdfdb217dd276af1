"""Every story of the simulator, many seeds of each, on all cores; what was promised beside what was seen."""
