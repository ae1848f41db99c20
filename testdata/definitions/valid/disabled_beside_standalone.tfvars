rds_config            = { enabled = false }
application_databases = { shop = { database_name = "shop", username = "shop_user" } }
