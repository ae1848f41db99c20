# Golden path platform, dev. Owner: platform engineering.
environment  = "dev"
aws_region   = "eu-west-2"
cluster_name = "goldenpath-dev-eks"

vpc_cidr           = "10.0.0.0/16"
availability_zones = ["eu-west-2a", "eu-west-2b"]
enable_nat_gateway = true
eks_config = {
  enabled = true
  version = "1.29"
  node_groups = {
    "default" = { min_size = 2, max_size = 4, instance_types = ["t3.large"] }
  }
}
efs_config = { enabled = false }

rds_config = {
  enabled               = true
  identifier            = "goldenpath-platform-db"
  instance_class        = "db.t3.micro"
  allocated_storage     = 20
  multi_az              = false
  backup_retention_days = 7
  tags                  = { "CostCentre" = "platform", "username" = "nobody" }
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
  maintenance_window = "sun:03:00-sun:04:00"
}

# Everything below belongs to other modules.
applications = {
  keycloak = { database_name = "not_this_one", replicas = 2 }
}
log_retention_seconds = 14 * 24 * 60 * 60
user_data             = <<-EOT
  #!/bin/bash
  # application_databases = { rogue = { database_name = "rogue", username = "rogue" } }
  echo "$${CLUSTER}"
EOT
common_tags = {
  Environment = "dev"
  ManagedBy   = "terraform"
}
