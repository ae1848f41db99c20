rds_config = {
  enabled = 0
  application_databases = {}
}
