"""What readers of other tools' YAML files share: keys that are each taken once, and texts with values in braces."""
