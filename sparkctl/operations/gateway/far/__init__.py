"""Services of other hosts at the gateway: found by their labels, reached by ssh or by their own addresses."""
