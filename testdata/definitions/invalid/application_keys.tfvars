application_databases = {
  "../etc" = { database_name = "a", username = "a_user" }
  "a b"    = { database_name = "b", username = "b_user" }
  ""       = { database_name = "c", username = "c_user" }
}
