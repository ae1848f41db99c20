application_databases = {
  backstage = { database_name = "backstage", username = "backstage_user", createdb = true, plugin_databases = ["backstage_plugin_*"] }
}
