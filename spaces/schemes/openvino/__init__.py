"""Schemes of OpenVINO's own model, one record each."""
