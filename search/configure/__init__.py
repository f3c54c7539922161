"""The study file: its schema, and its mistakes with their lines.

May import record.
"""
