application_databases = {
  a = { database_name = "a\q", username = "a_user" }
}
