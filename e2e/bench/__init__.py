"""Speed and memory of the running platform, each figure beside the limit that the raw parts set in the same run."""
