"""When and where the stages run, and which model serves."""
