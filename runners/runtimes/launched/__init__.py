"""The code inside a launch: it imports numpy and the timed runtime, and nothing else of ours.

The package runs in whatever interpreter a runner names, where the rest of the project may not be
installed. ``start.py`` is the script; ``main.py`` reads a job (JSON) and writes a result next to
it.
"""
