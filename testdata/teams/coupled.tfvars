cluster_name       = "goldenpath-dev-eks"
availability_zones = ["eu-west-2a", "eu-west-2b"]

rds_config = {
  enabled               = true
  identifier            = "goldenpath-platform-db"
  backup_retention_days = 7
  application_databases = {
    "keycloak" = {
      database_name = "keycloak"
      username      = "keycloak_app"
    }
    "backstage" = {
      database_name = "backstage_plugin_catalog" # Backstage uses many DBs, starting with catalog
      username      = "backstage_app"
    }
  }
}

common_tags = {
  ManagedBy = "terraform"
}
