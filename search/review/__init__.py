"""Shows a study: tables, plots, and MLflow as a view.

May import run and what it may.
"""
