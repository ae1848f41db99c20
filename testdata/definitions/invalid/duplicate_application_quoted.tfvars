application_databases = {
  a   = { database_name = "a", username = "a_user" }
  "a" = { database_name = "b", username = "b_user" }
}
