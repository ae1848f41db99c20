application_databases = {
  a = { database_name = "a", username = "shared" }
  b = { database_name = "b", username = "shared", role_owner = true, auth = "iam" }
  c = { database_name = "a", username = "reader", access_level = "reader" }
  d = { database_name = "b", username = "reader", access_level = "reader", connection_limit = 2 }
  e = { database_name = "c", username = "reader", access_level = "reader" }
}
