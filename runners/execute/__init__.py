"""Jobs and outcomes as data, executors, the build worker and the pool of build workers.

May import every other room of runners.
"""
