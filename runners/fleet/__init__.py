"""The fleet: many machines that build and measure for a study, on Dask.

It is an executor like the local one, and only the extra `fleet` needs it.
"""
