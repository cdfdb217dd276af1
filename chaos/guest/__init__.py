"""A throw-away guest kernel over the present root file system, for what the present kernel cannot do (`tc netem`)."""
