"""Who decides: Raft over a small log of plan changes."""
