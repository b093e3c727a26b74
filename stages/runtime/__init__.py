"""Starting and stopping a recipe, and showing its progress."""
