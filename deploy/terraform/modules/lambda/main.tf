# Two functions from one package: one that provisions, and one that Secrets Manager calls to rotate
# passwords. Each has the least policy of docs/iam.md.

locals {
  rotation = var.rotation ? { rotation = "${var.name}-rotation" } : {}
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

data "aws_iam_policy_document" "read_secrets" {
  statement {
    sid       = "Batch"
    actions   = ["secretsmanager:BatchGetSecretValue"]
    resources = ["*"]
  }
  statement {
    sid       = "Read"
    actions   = ["secretsmanager:GetSecretValue"]
    resources = concat([var.admin_secret_arn], var.application_secret_arns)
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

data "aws_iam_policy_document" "rotate_secrets" {
  source_policy_documents = [data.aws_iam_policy_document.read_secrets.json]
  statement {
    sid = "Rotate"
    actions = [
      "secretsmanager:DescribeSecret",
      "secretsmanager:PutSecretValue",
      "secretsmanager:UpdateSecretVersionStage",
    ]
    resources = var.application_secret_arns
  }
  dynamic "statement" {
    for_each = var.kms_key_arn[*]
    content {
      sid       = "Encrypt"
      actions   = ["kms:GenerateDataKey"]
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
  name   = "secrets"
  role   = aws_iam_role.provision.id
  policy = data.aws_iam_policy_document.read_secrets.json
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
  name     = "secrets"
  role     = aws_iam_role.rotation[each.key].id
  policy   = data.aws_iam_policy_document.rotate_secrets.json
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
