"""CUDA: the libraries that a runtime loads, and calls with data on a card.

Nothing here imports a runtime: callers pass it.
"""
