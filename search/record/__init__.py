"""The knowledge of a study: trials, history, objectives, dominance and hypervolume.

May import spaces and runners.
"""
