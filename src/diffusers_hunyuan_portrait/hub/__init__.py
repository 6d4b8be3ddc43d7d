"""Models to and from the Hugging Face Hub, through its own client."""
