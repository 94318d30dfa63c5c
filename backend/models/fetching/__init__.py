"""What brings a model here beside Hugging Face: the GGUF file of a package, converted once."""
