application_databases = {
  a = {
    database_name = <<-EOT
      a
    EOT
    username = "a_user"
  }
}
