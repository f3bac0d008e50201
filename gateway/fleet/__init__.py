"""What all processes of a deployment know alike: changed through Redis, read locally."""
