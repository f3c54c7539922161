"""The export targets: one file for each thing that a picked model can be written for."""
