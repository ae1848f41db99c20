application_databases = {
  a = { database_name = "a", username = "a_user", connection_limit = 1e400 }
}
