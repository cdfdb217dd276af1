"""Frozen values that every room shares: identities, members, jobs, statuses, the plan."""
