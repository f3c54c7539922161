"""From a candidate to an artifact: the plan, the stages, the builder.

May import workload and store.
"""
