"""Assembles all rooms into a study; the Python functions and the Study object.

May import every room but cli.
"""
