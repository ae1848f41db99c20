environment = "test"
application_databases = {
  billing         = { database_name = "billing", username = "billing_owner" }
  billing_reports = { database_name = "billing", username = "billing_reader", access_level = "reader" }
}
