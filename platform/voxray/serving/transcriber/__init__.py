"""The transcriber: its loaded models, and their batches across clients."""
