"""The protocols by which models are served, one file each, and what they share."""
