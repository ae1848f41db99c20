rds_config = { application_databases = null }
