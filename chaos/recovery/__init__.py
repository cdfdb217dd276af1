"""From SIGKILL to RUNNING elsewhere: real workers, both guarantees, by the beats that operators leave."""
