"""What the user's code consists of: the statements and libraries that a part of a workload reads.

Keys of builds hold digests of this, so a comment, or code that a stage does not read, changes none.
"""
