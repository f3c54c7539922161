"""Proposes candidates: samplers, surrogates, costs and learned rules.

May import record and configure.
"""
