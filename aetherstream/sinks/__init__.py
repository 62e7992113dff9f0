"""Sinks: where events go. What a sink owes the engine stands in `aetherstream.sinks.base`."""
