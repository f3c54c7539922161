"""Serving: what is asked of a process that serves loads, and what it reports."""
