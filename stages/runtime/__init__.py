"""How a recipe is started, stopped and watched."""
