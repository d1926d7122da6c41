"""Runs of the study: networks trained and evaluated as their specs say."""
