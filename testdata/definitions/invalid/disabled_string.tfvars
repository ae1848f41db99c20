rds_config = {
  enabled = "false"
  application_databases = { a = { database_name = "a", username = "a_user" } }
}
