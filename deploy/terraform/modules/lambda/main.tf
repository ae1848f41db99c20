# Two functions from one package: one that provisions, and one that Secrets Manager calls to rotate
# passwords. Each has the least policy of docs/iam.md.

locals {
  rotation = var.rotation ? { rotation = "${var.name}-rotation" } : {}
  secrets  = concat(var.admin_secret_arn[*], var.application_secret_arns)
  # Secrets of master users that RDS manages.
  managed = [for one in var.rotation_masters : one if one.server_arn != null]
}

data "aws_caller_identity" "current" {}

data "aws_region" "current" {}

data "aws_iam_policy_document" "lambda" {
  statement {
    actions = ["sts:AssumeRole"]
    principals {
      type        = "Service"
      identifiers = ["lambda.amazonaws.com"]
    }
  }
}

data "aws_iam_policy_document" "provision" {
  statement {
    sid       = "Batch"
    actions   = ["secretsmanager:BatchGetSecretValue"]
    resources = ["*"]
  }
  dynamic "statement" {
    for_each = length(local.secrets) > 0 ? [local.secrets] : []
    content {
      sid       = "Read"
      actions   = ["secretsmanager:GetSecretValue"]
      resources = statement.value
    }
  }
  dynamic "statement" {
    for_each = length(var.definitions_object_arns) > 0 ? [var.definitions_object_arns] : []
    content {
      sid       = "Definitions"
      actions   = ["s3:GetObject"]
      resources = statement.value
    }
  }
  dynamic "statement" {
    for_each = length(var.records_object_arns) > 0 ? [var.records_object_arns] : []
    content {
      sid       = "Records"
      actions   = ["s3:PutObject"]
      resources = statement.value
    }
  }
  dynamic "statement" {
    for_each = length(var.instance_role_arns) > 0 ? [var.instance_role_arns] : []
    content {
      sid       = "Instances"
      actions   = ["sts:AssumeRole"]
      resources = statement.value
    }
  }
  dynamic "statement" {
    for_each = var.kms_key_arn[*]
    content {
      sid       = "Decrypt"
      actions   = ["kms:Decrypt"]
      resources = [statement.value]
      condition {
        test     = "StringEquals"
        variable = "kms:ViaService"
        values   = ["secretsmanager.${data.aws_region.current.region}.amazonaws.com"]
      }
    }
  }
}

data "aws_iam_policy_document" "rotation" {
  statement {
    sid = "Rotate"
    actions = [
      "secretsmanager:DescribeSecret",
      "secretsmanager:GetSecretValue",
      "secretsmanager:PutSecretValue",
      "secretsmanager:UpdateSecretVersionStage",
    ]
    resources = var.application_secret_arns
  }
  dynamic "statement" {
    for_each = length(var.rotation_masters) > 0 ? [var.rotation_masters[*].secret_arn] : []
    content {
      sid       = "Master"
      actions   = ["secretsmanager:GetSecretValue"]
      resources = statement.value
    }
  }
  # RDS knows the host, which the secret that it manages does not contain.
  dynamic "statement" {
    for_each = length(local.managed) > 0 ? [local.managed[*].secret_arn] : []
    content {
      sid       = "ManagedMaster"
      actions   = ["secretsmanager:DescribeSecret"]
      resources = statement.value
    }
  }
  dynamic "statement" {
    for_each = length(local.managed) > 0 ? [local.managed[*].server_arn] : []
    content {
      sid       = "Server"
      actions   = ["rds:DescribeDBInstances", "rds:DescribeDBClusters"]
      resources = statement.value
    }
  }
  dynamic "statement" {
    for_each = var.kms_key_arn[*]
    content {
      sid       = "Key"
      actions   = ["kms:Decrypt", "kms:GenerateDataKey"]
      resources = [statement.value]
      condition {
        test     = "StringEquals"
        variable = "kms:ViaService"
        values   = ["secretsmanager.${data.aws_region.current.region}.amazonaws.com"]
      }
    }
  }
}

# Provisioning

resource "aws_cloudwatch_log_group" "provision" {
  name              = "/aws/lambda/${var.name}"
  retention_in_days = var.log_retention_in_days
}

resource "aws_iam_role" "provision" {
  name               = var.name
  assume_role_policy = data.aws_iam_policy_document.lambda.json
}

resource "aws_iam_role_policy" "provision" {
  name   = "rdsprov"
  role   = aws_iam_role.provision.id
  policy = data.aws_iam_policy_document.provision.json
}

# Network interfaces in the subnets, and logs.
resource "aws_iam_role_policy_attachment" "provision" {
  role       = aws_iam_role.provision.name
  policy_arn = "arn:aws:iam::aws:policy/service-role/AWSLambdaVPCAccessExecutionRole"
}

resource "aws_lambda_function" "provision" {
  function_name    = var.name
  description      = "Provisions roles, databases and privileges with rdsprov."
  filename         = var.package
  source_code_hash = filebase64sha256(var.package)
  role             = aws_iam_role.provision.arn
  runtime          = "provided.al2023"
  handler          = "bootstrap"
  architectures    = [var.architecture]
  timeout          = var.timeout
  memory_size      = var.memory_size

  vpc_config {
    subnet_ids         = var.subnet_ids
    security_group_ids = var.security_group_ids
  }
  environment {
    variables = var.environment_variables
  }
  logging_config {
    log_format = "Text"
    log_group  = aws_cloudwatch_log_group.provision.name
  }
  depends_on = [aws_iam_role_policy.provision, aws_iam_role_policy_attachment.provision]
}

# Rotation

resource "aws_cloudwatch_log_group" "rotation" {
  for_each          = local.rotation
  name              = "/aws/lambda/${each.value}"
  retention_in_days = var.log_retention_in_days
}

resource "aws_iam_role" "rotation" {
  for_each           = local.rotation
  name               = each.value
  assume_role_policy = data.aws_iam_policy_document.lambda.json
}

resource "aws_iam_role_policy" "rotation" {
  for_each = local.rotation
  name     = "rdsprov"
  role     = aws_iam_role.rotation[each.key].id
  policy   = data.aws_iam_policy_document.rotation.json
}

resource "aws_iam_role_policy_attachment" "rotation" {
  for_each   = local.rotation
  role       = aws_iam_role.rotation[each.key].name
  policy_arn = "arn:aws:iam::aws:policy/service-role/AWSLambdaVPCAccessExecutionRole"
}

resource "aws_lambda_function" "rotation" {
  for_each         = local.rotation
  function_name    = each.value
  description      = "Rotates passwords with rdsprov."
  filename         = var.package
  source_code_hash = filebase64sha256(var.package)
  role             = aws_iam_role.rotation[each.key].arn
  runtime          = "provided.al2023"
  handler          = "bootstrap"
  architectures    = [var.architecture]
  timeout          = 120
  memory_size      = var.memory_size

  vpc_config {
    subnet_ids         = var.subnet_ids
    security_group_ids = var.security_group_ids
  }
  environment {
    variables = var.environment_variables
  }
  logging_config {
    log_format = "Text"
    log_group  = aws_cloudwatch_log_group.rotation[each.key].name
  }
  depends_on = [aws_iam_role_policy.rotation, aws_iam_role_policy_attachment.rotation]
}

resource "aws_lambda_permission" "rotation" {
  for_each       = local.rotation
  statement_id   = "SecretsManager"
  action         = "lambda:InvokeFunction"
  function_name  = aws_lambda_function.rotation[each.key].function_name
  principal      = "secretsmanager.amazonaws.com"
  source_account = data.aws_caller_identity.current.account_id
}
