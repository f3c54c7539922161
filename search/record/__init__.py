"""What is known: trials, history, objectives, dominance and hypervolume.

May import spaces and runners.
"""
