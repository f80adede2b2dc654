"""A job: a recipe of something that is run once and makes a folder, such as a quantized model."""
