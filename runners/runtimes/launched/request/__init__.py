"""Whole requests in the timed process: their times, and the model's outputs on what they become."""
