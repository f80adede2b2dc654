"""What follows from an event at the desk, rule by rule. Pure."""
