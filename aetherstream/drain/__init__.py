"""The drain: brings what was spilled during an outage to the sink it was meant for, each document once, oldest first.

Everything it does may be interrupted and done again. Documents go under their ids; what a sink refuses for good is
written to the quarantine before the spill object is emptied, and counts as settled from then on. Two drains of one sink
are kept apart by a lease; where one outlives its lease, conditional puts keep it from undoing what its successor did.
"""
