application_databases = { shop = { database_name = "shop", username = "shop_owner" } }
