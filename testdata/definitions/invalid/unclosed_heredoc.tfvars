note = <<EOT
application_databases = {}
