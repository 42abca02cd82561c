"""What a service promises: its .proto files, their fingerprints, and how they travel."""
