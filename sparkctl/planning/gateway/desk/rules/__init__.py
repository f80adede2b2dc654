"""The consequences of an event at the desk, rule by rule. Pure."""
