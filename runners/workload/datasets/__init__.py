"""Data in the forms that people have it, each read batch by batch."""
