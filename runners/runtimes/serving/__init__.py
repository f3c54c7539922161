"""Serving loads: the settings for a process that serves requests, and its results."""
