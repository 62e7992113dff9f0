"""The delivery protocol: how a batch reaches every sink once (docs/delivery-guarantees.md has the argument)."""
