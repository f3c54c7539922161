"""Paretune's own quantization schemes, one record each.

What makes a scheme is named by text and imported in the build: nothing here needs a library.
"""
