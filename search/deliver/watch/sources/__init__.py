"""Where a watch gets its requests from: a probe, a log, or Prometheus."""
