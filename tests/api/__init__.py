"""What a user of the library does: workers, jobs, the command line."""
