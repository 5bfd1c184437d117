"""The language model: sources, loading, encoding, fine-tuning, checkpoints, generating."""
