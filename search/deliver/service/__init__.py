"""The service of a point: its figures for every target, and the files that services share."""
