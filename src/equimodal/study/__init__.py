"""The study: from raw data to tables, figures and the report; all that knows files and settings."""
