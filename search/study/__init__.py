"""Assembles all rooms into a study, and the Python functions around it.

May import every room but cli.
"""
