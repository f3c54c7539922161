"""The MCP server: the commands as tools for programs and agents, over standard input and output."""
