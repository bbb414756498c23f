"""Coming from another system: its figures beside ours."""
