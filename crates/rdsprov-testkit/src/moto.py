"""Starts moto's server. Moto 5.2.1 still returns the previous version after AWSCURRENT has moved."""

from moto.secretsmanager.models import SecretsManagerBackend
from moto.server import main

move = SecretsManagerBackend.update_secret_version_stage


def move_and_answer(self, secret_id, version_stage, remove_from_version_id, move_to_version_id):
    answer = move(self, secret_id, version_stage, remove_from_version_id, move_to_version_id)
    if version_stage == "AWSCURRENT" and move_to_version_id:
        self.secrets[secret_id].set_default_version_id(move_to_version_id)
    return answer


SecretsManagerBackend.update_secret_version_stage = move_and_answer
main()
