"""MLflow: runs, models and pictures as a view of the storage.

May import run and what it may; the only files that import mlflow.
"""
