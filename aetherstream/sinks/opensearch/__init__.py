"""The OpenSearch sink: every document once under its id, in an index whose name follows from the event time."""
