environment = "dev"
aws_region  = "eu-west-2"

application_databases = {
  shop         = { database_name = "shop", username = "shop_owner" }
  shop_reports = { database_name = "shop", username = "shop_reader", access_level = "reader" }
  keycloak     = { database_name = "keycloak", username = "keycloak_user" }
}
