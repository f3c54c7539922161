"""A served model, asked over the network: protocols, answers, latency, load."""
