application_databases = {
  a = { database_name = "a", username = "a_user", acces_level = "reader" }
  b = { database_name = "b", username = "b_user", size = 10 }
}
