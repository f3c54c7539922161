"""Watching a service: sequential tests that tell when it leaves what was published."""
