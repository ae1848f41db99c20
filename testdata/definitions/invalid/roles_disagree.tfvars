application_databases = {
  a = { database_name = "a", username = "shared", createdb = true, connection_limit = 3 }
  b = { database_name = "b", username = "shared", createdb = false, connection_limit = 4 }
  c = { database_name = "c", username = "shared" }
  d = { database_name = "d", username = "d_user", schemas = ["app", "app", "pg_x"] }
}
