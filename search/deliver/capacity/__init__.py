"""Capacity: how many requests per second a replica answers within a budget."""
