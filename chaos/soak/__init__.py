"""The NYC job on real workers, amid kills, pauses, drains and updates: nothing lost, doubled or left behind."""
