"""What executes an artifact: runners, devices and their leases, and what runs in the timed process.

May import workload and store.
"""
