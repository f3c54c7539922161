"""Several calls at a time: instances side by side, and requests at their own pace."""
