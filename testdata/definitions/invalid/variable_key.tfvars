application_databases = {
  (foo) = { database_name = "a", username = "a_user" }
}
