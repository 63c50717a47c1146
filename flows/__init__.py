"""What runs after what: the DAG, the Prefect flow over it, and the command line."""
