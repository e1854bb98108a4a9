"""What may be done with a person's data: purposes, what each person said, and a decision behind every use."""
