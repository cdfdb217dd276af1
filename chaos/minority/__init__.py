"""A minority cut off from a real cluster: what runs at most once stops there in time, everything else goes on."""
