"""Authority on real nodes in virtual time: how fresh it is, what it costs, how soon work moves, who stops in vain."""
