enviroment = "prod"
aws_regoin = "eu-west-2"
rds_configs = {}
application_databases = { shop = { database_name = "shop", username = "shop_user" } }
