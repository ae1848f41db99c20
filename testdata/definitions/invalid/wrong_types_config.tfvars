rds_config = "x"
