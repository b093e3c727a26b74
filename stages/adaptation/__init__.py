"""Which weights of a pretrained encoder are trained, and what stands in for those that are not."""
