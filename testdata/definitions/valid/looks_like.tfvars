description = "application_databases = { fake = { database_name = \"fake\" } }"
tags = {
  application_databases = "not here"
  "}"                   = "{"
}
legacy_application_databases = { old = { database_name = "old", username = "old_user" } }
application_databases_extra  = {}
application_databases = { shop = { database_name = "shop", username = "shop_user" } }
