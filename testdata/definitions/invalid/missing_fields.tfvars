application_databases = {
  a = {}
  b = { database_name = "b" }
  c = { username = null, database_name = "c" }
}
