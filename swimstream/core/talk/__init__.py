"""What applications say to each other: tags, broadcasts, letters and queries."""
