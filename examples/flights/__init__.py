"""Flights per hour and airport with their weather: a stream job whose result no crash may change. See README.md."""
