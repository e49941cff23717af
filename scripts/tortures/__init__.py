"""Tests of `scripts/torture`."""
