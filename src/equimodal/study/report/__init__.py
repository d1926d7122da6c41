"""The reading page: claims, tables, figures, what failed and what it cost. Never loads torch."""
