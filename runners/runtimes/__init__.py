"""Executes artifacts: runners, devices and their leases, and the code of the timed process.

May import workload and store.
"""
