"""Bringing back what did not make it: dead letters, quarantine, replay; above the engine."""
