application_databases = {
  shop         = { database_name = "shop", username = "shop_owner", extensions = ["citext"] }
  shop_workers = { database_name = "shop", username = "shop_editor", access_level = "editor" }
  shop_reports = { database_name = "shop", username = "shop_reader", access_level = "reader", extensions = ["citext"] }
}
