application_databases = {
  a = { database_name = 1, username = "a_user" }
}
