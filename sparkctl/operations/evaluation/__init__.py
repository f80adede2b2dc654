"""How much a quantized model keeps of what its original answers: questions asked of both, paired and compared."""
