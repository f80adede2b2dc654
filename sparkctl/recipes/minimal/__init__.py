"""What is filled in if a recipe says little: a model and an image, or only a model's hub name."""
