"""Summaries of bounded size: approximate, with an error that is stated (docs/adr/0025-sketches.md)."""
