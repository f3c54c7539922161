"""Surrogates: what is believed of candidates that were not measured yet."""
