"""What runs inside a launch: numpy and the runtime that is timed, and nothing else of ours.

The package runs in whatever interpreter a runner names, where the rest of the project may not be
installed. ``start.py`` is the script; ``main.py`` takes a job (JSON) and writes a result beside it.
"""
