"""What a running study prints: a live view on a terminal, lines in a pipe, or problems alone."""
