application_databases = {
  shop = { database_name = "shop", username = "new_owner" }
}
