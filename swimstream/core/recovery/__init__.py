"""What to do: from plan, members and statuses to changes of the plan."""
