"""When and where it runs: work pools, schedules, the Prefect UI."""
