"""BufferManagers: one per client, hosted in actors; the sessions, their audio and voice activity."""
