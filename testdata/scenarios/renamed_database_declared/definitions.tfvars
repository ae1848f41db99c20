application_databases = {
  shop = { database_name = "store", username = "shop_owner" }
}
