"""Tools that every process needs: tasks, pauses, a clock, the collector, its parent."""
