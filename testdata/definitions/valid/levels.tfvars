application_databases = {
  shop    = { database_name = "shop", username = "shop_user", access_level = "owner", adopt = true }
  jobs    = { database_name = "shop", username = "shop_jobs", access_level = "editor" }
  reports = { database_name = "shop", username = "reports", access_level = "reader", secret = "reports/db" }
  audit   = { database_name = "ledger", username = "reports", access_level = "reader", secret = "reports/db" }
}
