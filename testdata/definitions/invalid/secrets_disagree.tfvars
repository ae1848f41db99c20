application_databases = {
  a = { database_name = "a", username = "shared", secret = "one" }
  b = { database_name = "b", username = "shared", secret = "two" }
}
