"""What each job does, from config to result: one module per job, composed of the parts below it."""
