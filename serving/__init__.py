"""Runs exported models: over files now, behind a network later."""
