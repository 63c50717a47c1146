"""How each step runs: a Prefect task around one stage of `birdcore`."""
