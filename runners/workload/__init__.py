"""The user's side: models, data, metrics and training, loaded and checked.

May import spaces and the files of runners itself.
"""
