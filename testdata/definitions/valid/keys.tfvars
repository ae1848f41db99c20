application_databases = {
  bare            = { database_name = "a", username = "a_user" }
  with-dash       = { database_name = "b", username = "b_user" }
  "quoted"        = { "database_name" = "c", "username" = "c_user" }
  ("parens")      = { ("database_name") = "d", (("username")) = "d_user" }
  colon           : { database_name : "e", username : "e_user" }
  "${"template"}" = { database_name = "f", username = "f_user" }
  7               = { database_name = "g", username = "g_user" }
  true            = { database_name = "h", username = "h_user" }
}
