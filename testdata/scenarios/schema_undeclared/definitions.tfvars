application_databases = {
  shop         = { database_name = "shop", username = "shop_owner", schemas = ["public", "orders", "stock"] }
  shop_workers = { database_name = "shop", username = "shop_editor", access_level = "editor", schemas = ["orders", "stock"] }
  shop_reports = { database_name = "shop", username = "shop_reader", access_level = "reader", schemas = ["orders", "returns"] }
}
