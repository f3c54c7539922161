"""The study loop: attempts, budgets, what ends it.

May import record, storage, configure, propose and confirm.
"""
