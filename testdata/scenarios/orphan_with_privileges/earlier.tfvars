application_databases = {
  shop         = { database_name = "shop", username = "shop_owner" }
  shop_reports = { database_name = "shop", username = "shop_reader", access_level = "reader" }
  wiki         = { database_name = "wiki", username = "wiki_owner" }
  wiki_reports = { database_name = "wiki", username = "shop_reader", access_level = "reader", secret = "goldenpath/dev/shop_reports/postgres" }
}
