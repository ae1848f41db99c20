note = <<EOT
application_databases = {}
EOT
