"""Pictures and pages that a person can read."""
