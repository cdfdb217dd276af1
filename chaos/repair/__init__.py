"""What repair costs and heals: digest syncs beside full push-pull, long partitions, and the dead that stay dead."""
