"""Tests of the event source mapping's state machine."""
