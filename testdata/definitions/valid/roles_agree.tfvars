application_databases = {
  a = { database_name = "a", username = "shared", createdb = true, connection_limit = 3, role_owner = true }
  b = { database_name = "b", username = "shared", schemas = ["app", "public"] }
}
