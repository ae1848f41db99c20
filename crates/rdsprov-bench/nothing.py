"""Imported for the time that nothing takes."""
