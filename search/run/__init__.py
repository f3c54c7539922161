"""The study loop: attempts, budgets, the end of a study.

May import record, storage, configure, propose and confirm.
"""
