application_databases = {
  reports = { database_name = "legacy", username = "legacy_reader", access_level = "reader", adopt = true }
}
