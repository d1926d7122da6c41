"""From run folders to tables. Never loads a network, the data or torch."""
