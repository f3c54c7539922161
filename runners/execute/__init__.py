"""Where work is done: the build worker and the pool of them.

May import every other room of runners.
"""
