"""From an artifact to a measurement: protocol, campaign, statistics.

May import build, runtimes and what they may.
"""
