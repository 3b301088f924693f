"""What is in a model file, and what of it surprises in production: `model_file.inspect_model`."""
