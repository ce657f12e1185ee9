"""Simulated maps on disk (`shards`) and on their way into the network (`pipeline`)."""
