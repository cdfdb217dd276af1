"""Statuses of 20,000 instances on 1,000 workers, in virtual time: how soon all agree, and what it costs."""
