"""What runs where: the status of every instance."""
