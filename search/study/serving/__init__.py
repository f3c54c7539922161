"""Serving: what a study's points, bundles and files hold as a service."""
