"""Models and trainers of other packages, each imported only where it is used."""
