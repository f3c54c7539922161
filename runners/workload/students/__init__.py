"""Models besides the reference: where their shapes and their first weights come from."""
