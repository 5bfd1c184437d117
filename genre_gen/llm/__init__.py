"""The language model: loading, encoding, batches, generating, quantization and export."""
