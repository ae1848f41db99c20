application_databases = {
  shop = { database_name = "shop", username = "shop_owner", createdb = true, connection_limit = 20 }
  desk = { database_name = "desk", username = "desk_owner" }
}
