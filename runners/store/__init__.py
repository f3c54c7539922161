"""The artifact store: files by content, records of stages, pins, and who uses it.

May import spaces and the files of runners itself.
"""
