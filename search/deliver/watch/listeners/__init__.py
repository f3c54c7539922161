"""Where a watch tells what it found: lines, a webhook, metrics."""
