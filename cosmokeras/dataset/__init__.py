"""Simulations in, batches of observed maps out: shards on disk and the pipeline into the network."""
