"""Picks a point, checks it again and writes it as a bundle.

May import review and what it may.
"""
