"""What a store of MLflow may do to those who use it: fail, and move."""
