"""Does every backend do what a fault says? The same probes through each, held against the same expectations."""
