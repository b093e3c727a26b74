"""Programs that pipeline/ runs as child processes; each takes a params file."""
