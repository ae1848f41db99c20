"""Starts moto's server, which differs from Secrets Manager in two calls of a rotation."""

from moto.moto_api._internal import mock_random
from moto.secretsmanager.models import SecretsManagerBackend
from moto.server import main

move = SecretsManagerBackend.update_secret_version_stage


def move_and_answer(self, secret_id, version_stage, remove_from_version_id, move_to_version_id):
    """Moto 5.2.1 still returns the previous version after AWSCURRENT has moved."""
    answer = move(self, secret_id, version_stage, remove_from_version_id, move_to_version_id)
    if version_stage == "AWSCURRENT" and move_to_version_id:
        self.secrets[secret_id].set_default_version_id(move_to_version_id)
    return answer


def start_rotation(self, secret_id, client_request_token=None, rotation_lambda_arn=None,
                   rotation_rules=None, rotate_immediately=True):
    """Moto would invoke the function itself, or would make the empty version the current one."""
    secret = self.secrets[secret_id]
    version = client_request_token or str(mock_random.uuid4())
    if version not in secret.versions:
        secret.remove_version_stages_from_old_versions(["AWSPENDING"])
        secret.versions[version] = {
            "createdate": 0,
            "version_id": version,
            "version_stages": ["AWSPENDING"],
        }
    secret.rotation_requested = secret.rotation_enabled = True
    return secret.to_short_dict()


SecretsManagerBackend.update_secret_version_stage = move_and_answer
SecretsManagerBackend.rotate_secret = start_rotation
main()
