application_databases = {
  shop         = { database_name = "shop", username = "shop_owner" }
  shop_workers = { database_name = "shop", username = "shop_editor", access_level = "editor" }
  desk         = { database_name = "desk", username = "desk_owner" }
  desk_reports = { database_name = "desk", username = "shop_reader", access_level = "reader" }
}
