//! A directory of JSON files as the source of secrets, for tests and offline use.

use std::fs::OpenOptions;
use std::io::Write as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Component, Path, PathBuf};

use super::{Secret, SecretError};
use crate::input_file::{self, Input};
use crate::secret_id::{SecretId, Stage};

/// Returns the path of a secret; an id that could lead out of the directory is an error.
fn path(directory: &Path, id: &SecretId) -> Result<PathBuf, SecretError> {
    let below = Path::new(&id.0);
    if !below.components().all(|part| matches!(part, Component::Normal(_))) {
        return Err(SecretError::NotAPath { id: id.clone() });
    }
    Ok(directory.join(format!("{}.json", id.0)))
}

/// Creates the file of a new secret, readable by its owner only.
pub(super) fn create(directory: &Path, id: &SecretId, text: &str) -> Result<(), SecretError> {
    let path = path(directory, id)?;
    let write = || {
        if let Some(parent) = path.parent() {
            std::fs::create_dir_all(parent)?;
        }
        let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&path)?;
        let written = file.write_all(text.as_bytes()).and_then(|()| file.sync_all());
        if written.is_err() {
            // An incomplete file cannot be parsed, and `create_new` would fail in the next run.
            let _ = std::fs::remove_file(&path);
        }
        written
    };
    write().map_err(|error| SecretError::not_created(id, &error.to_string()))
}

pub(super) fn read(directory: &Path, id: &SecretId, stage: Stage) -> Result<Secret, SecretError> {
    if stage == Stage::Pending {
        return Err(SecretError::NoStages { id: id.clone() });
    }
    let path = path(directory, id)?;
    let bytes = input_file::read(&path, Input::Secret).map_err(|error| match error.kind() {
        std::io::ErrorKind::NotFound => {
            let file = Some(path.display().to_string());
            SecretError::Missing { id: id.clone(), region: None, file }
        }
        std::io::ErrorKind::PermissionDenied => {
            SecretError::Denied { id: id.clone(), principal: None }
        }
        _ => SecretError::Unreadable { id: id.clone(), reason: error.to_string() },
    })?;
    let text = std::str::from_utf8(&bytes).map_err(|_| SecretError::Binary { id: id.clone() })?;
    Secret::parse(id, text)
}
