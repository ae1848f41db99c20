application_databases = {
  orders         = { database_name = "orders", username = "orders_owner" }
  orders_reports = { database_name = "orders", username = "orders_reader", access_level = "reader" }
}
