environment  = "dev"
admin_secret = "goldenpath/dev/rds/master"
application_databases = {
  keycloak  = { database_name = "keycloak", username = "keycloak_user" }
  analytics = { database_name = "keycloak", username = "analytics_ro", access_level = "reader" }
}
