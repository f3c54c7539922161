"""A point chosen, checked again and handed over as a bundle.

May import review and what it may.
"""
