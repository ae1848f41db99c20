# An instance, a secret for each application, and the Lambda functions: Terraform 1.14 invokes the one
# that provisions after it creates or changes the definitions. No password is in the state or in a plan.
#
# If the function fails, the apply fails, and Terraform does not invoke the action again by itself:
#
#   terraform apply -invoke=action.aws_lambda_invoke.provision
terraform {
  required_version = ">= 1.14"
  required_providers {
    aws = {
      source  = "hashicorp/aws"
      version = ">= 6.14"
    }
    random = {
      source  = "hashicorp/random"
      version = ">= 3.7"
    }
  }
}

provider "aws" {
  region = var.region
}

# RDS creates and rotates the password of the master user.
resource "aws_db_instance" "this" {
  identifier                  = "shop-${var.environment}"
  engine                      = "postgres"
  engine_version              = "17"
  instance_class              = "db.t4g.medium"
  allocated_storage           = 50
  storage_encrypted           = true
  db_name                     = "platform"
  username                    = "platform_admin"
  manage_master_user_password = true
  db_subnet_group_name        = var.db_subnet_group_name
  vpc_security_group_ids      = [aws_security_group.server.id]
  skip_final_snapshot         = var.environment == "dev"
  final_snapshot_identifier   = "shop-${var.environment}-final"
}

# Only the functions, and the groups of the applications, connect to the server.
resource "aws_security_group" "server" {
  name   = "shop-${var.environment}-server"
  vpc_id = var.vpc_id
}

resource "aws_security_group" "functions" {
  name   = "shop-${var.environment}-rdsprov"
  vpc_id = var.vpc_id
}

resource "aws_vpc_security_group_ingress_rule" "functions" {
  security_group_id            = aws_security_group.server.id
  referenced_security_group_id = aws_security_group.functions.id
  ip_protocol                  = "tcp"
  from_port                    = 5432
  to_port                      = 5432
}

resource "aws_vpc_security_group_egress_rule" "server" {
  security_group_id            = aws_security_group.functions.id
  referenced_security_group_id = aws_security_group.server.id
  ip_protocol                  = "tcp"
  from_port                    = 5432
  to_port                      = 5432
}

# The API of Secrets Manager.
resource "aws_vpc_security_group_egress_rule" "api" {
  security_group_id = aws_security_group.functions.id
  cidr_ipv4         = "0.0.0.0/0"
  ip_protocol       = "tcp"
  from_port         = 443
  to_port           = 443
}

# The passwords of applications: ephemeral, and sent with a write-only argument.
ephemeral "random_password" "application" {
  for_each = var.application_databases
  length   = 32
  special  = false
}

resource "aws_secretsmanager_secret" "application" {
  for_each = var.application_databases
  name     = "goldenpath/${var.environment}/${each.key}/postgres"
}

resource "aws_secretsmanager_secret_version" "application" {
  for_each  = var.application_databases
  secret_id = aws_secretsmanager_secret.application[each.key].id
  secret_string_wo = jsonencode({
    engine   = "postgres"
    host     = aws_db_instance.this.address
    port     = aws_db_instance.this.port
    dbname   = each.value.database_name
    username = each.value.username
    password = ephemeral.random_password.application[each.key].result
  })
  # Terraform writes the password once. The rotation function replaces it later.
  secret_string_wo_version = 1
}

module "rdsprov" {
  source                  = "../../modules/lambda"
  name                    = "rdsprov-shop-${var.environment}"
  package                 = var.package
  admin_secret_arn        = aws_db_instance.this.master_user_secret[0].secret_arn
  application_secret_arns = values(aws_secretsmanager_secret.application)[*].arn
  subnet_ids              = var.subnet_ids
  security_group_ids      = [aws_security_group.functions.id]

  alarm_actions = [var.alarm_topic_arn]

  drift = {
    schedule_expression = "cron(17 4 * * ? *)"
    event               = local.event
  }
}

locals {
  # The keys of the event in each mode: docs/guides/lambda.md describes them.
  event = {
    environment  = var.environment
    admin_secret = aws_db_instance.this.master_user_secret[0].secret_arn
    host         = aws_db_instance.this.address
    port         = aws_db_instance.this.port
    definitions = {
      environment           = var.environment
      application_databases = var.application_databases
    }
  }
}

action "aws_lambda_invoke" "provision" {
  config {
    function_name = module.rdsprov.function_name
    # A refusal or a failure is a function error, which fails the apply.
    payload = jsonencode(merge(local.event, {
      mode     = "apply"
      approval = var.approval
      build_id = var.build_id
      format   = "none"
    }))
  }
}

resource "terraform_data" "databases" {
  input      = local.event
  depends_on = [aws_secretsmanager_secret_version.application]

  lifecycle {
    action_trigger {
      events  = [after_create, after_update]
      actions = [action.aws_lambda_invoke.provision]
    }
  }
}

resource "aws_secretsmanager_secret_rotation" "application" {
  for_each            = var.application_databases
  secret_id           = aws_secretsmanager_secret.application[each.key].id
  rotation_lambda_arn = module.rdsprov.rotation_function_arn
  rotate_immediately  = false

  rotation_rules {
    automatically_after_days = 30
  }
  # A role exists before its password is rotated.
  depends_on = [terraform_data.databases]
}
