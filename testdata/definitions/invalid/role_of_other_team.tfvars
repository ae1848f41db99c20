application_databases = {
  a_reports = { database_name = "a", username = "shop_owner", access_level = "reader", secret = "team_a/mine", createdb = true, connection_limit = 3, plugin_databases = ["*"] }
  a_claims  = { database_name = "c", username = "shop_owner", access_level = "reader", role_owner = true }
  shop      = { database_name = "shop", username = "shop_owner", connection_limit = 50 }
  twice_1   = { database_name = "t1", username = "twice", role_owner = true }
  twice_2   = { database_name = "t2", username = "twice", role_owner = true }
  reader_1  = { database_name = "shop", username = "reader", access_level = "reader" }
  reader_2  = { database_name = "c", username = "reader", access_level = "reader", valid_until = "2027-01-31T00:00:00Z" }
  reader_3  = { database_name = "t1", username = "reader", access_level = "reader", auth = "iam" }
}
