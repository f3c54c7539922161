"""A study measured again later: what changed since it was published, and whether to search on."""
