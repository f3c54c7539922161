"""The commands for a picked point: pick, verify, capacity, export, watch."""
