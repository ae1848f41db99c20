application_databases = {
  a = { database_name = "shop", username = "a_user" }
  b = { database_name = "shop", username = "b_user", access_level = "owner" }
}
