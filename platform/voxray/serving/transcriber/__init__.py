"""The transcriber: one loaded model, its batches across clients, and the deployment around it."""
