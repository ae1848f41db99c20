note = <<EOT
The old file ended here:
EOT # end
application_databases = { rogue = { database_name = "rogue", username = "rogue" } }
/*
EOT
# */
application_databases_extra = {}
