application_databases = {}
note = <<EOT
text
EOT