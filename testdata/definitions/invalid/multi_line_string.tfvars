application_databases = {
  a = { database_name = "a
b", username = "a_user" }
}
