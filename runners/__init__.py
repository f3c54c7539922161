"""Make candidates and measure them.

Rooms, each may import those before it: workload, store; build, runtimes; measure; execute.
"""
