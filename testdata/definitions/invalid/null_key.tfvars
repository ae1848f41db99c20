application_databases = {
  null = { database_name = "a", username = "a_user" }
}
