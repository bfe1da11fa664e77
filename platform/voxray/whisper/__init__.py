"""The Whisper architecture: tokens, features, students, checkpoints, engines and exports."""
