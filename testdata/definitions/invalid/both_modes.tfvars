application_databases = { a = { database_name = "a", username = "a_user" } }
rds_config = {
  application_databases = { b = { database_name = "b", username = "b_user" } }
}
