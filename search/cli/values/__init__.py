"""What commands print as JSON: one record per command, with a description of every key.

The MCP server returns the same records, and docs/json.md is written from them.
"""
