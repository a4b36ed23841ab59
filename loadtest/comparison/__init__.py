"""The comparison with the peers: what loadtest/compare and loadtest/bench have in common."""
