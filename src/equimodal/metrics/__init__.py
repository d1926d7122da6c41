"""The paper's measures: of a network that learns, and of one that has learned."""
