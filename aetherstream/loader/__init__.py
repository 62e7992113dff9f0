"""Loading staged objects into the warehouse: each once, and only those that no attempt will change any more."""
