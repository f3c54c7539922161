"""Which points may be on the frontier, measured again, and what is published.

May import record and propose.
"""
