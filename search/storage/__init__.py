"""Optuna's storage, the one source of truth, and who may write to it.

May import record.
"""
