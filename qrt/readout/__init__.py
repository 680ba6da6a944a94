"""Readout processing: weights and thresholds from captures, assignment matrices, and mitigated estimates.

Four files, in the order in which a run meets them. `discriminate` makes integration weights and a threshold from raw captures;
`assignment` makes an assignment matrix from reference shots; `mitigation` turns the bits of a batch into sums (the only one that
starts JAX, and only where it is called: in the batch process); `estimate` turns sums into estimates with error bars.

What runs once, after the fact, and in the host's own process is numpy: starting JAX there would be felt by a user's own JAX. What runs
beside the loop for every shot is JAX, in the process that was set up for it. Nothing here plays, captures or waits.
"""
