"""A host of a fleet that only measures: no workload, no builds; a build host judges for it.

What runs on such a host imports numpy, Dask and small packages only (see docs/fleet.md).
"""
