"""Portion."""
