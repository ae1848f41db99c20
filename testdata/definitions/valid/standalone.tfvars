environment = "dev"
aws_region  = "eu-west-2"
# Application Databases (Bounded Contexts)
application_databases = {
  keycloak = {
    database_name = "keycloak"
    username      = "keycloak_user"
  },
  backstage = {
    database_name = "backstage"
    username      = "backstage_user"
  }
}
