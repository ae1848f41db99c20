application_databases = []
rds_config = null
