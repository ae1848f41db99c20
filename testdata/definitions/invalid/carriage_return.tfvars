note = "ab"
text = <<EOT
a
EOT
application_databases = {}
