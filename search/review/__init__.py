"""What a study looks like: tables, plots, and MLflow as a view.

May import run and what it may.
"""
