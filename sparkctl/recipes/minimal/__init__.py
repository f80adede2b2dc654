"""What follows where a recipe says little: a model and an image, or a model's hub name alone."""
