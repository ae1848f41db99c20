application_databases = {
  a = { database_name = "a", username = "a_user", secret = "" }
  b = {
    database_name = "b"
    username      = "b_user"
    secret        = <<EOT
line
EOT
  }
}
