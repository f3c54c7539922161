"""Decide, remember, choose.

Rooms, each may import those before it: record; storage, configure; propose; confirm; run; review;
deliver; study; cli.
"""
