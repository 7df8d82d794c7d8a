"""A double of huggingface.co on the loopback interface, with faults on demand."""
