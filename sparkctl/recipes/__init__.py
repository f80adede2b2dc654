"""From a recipe's text to a service: files, layers, templates, what it needs of the memory."""
