//! What the CSV file and the ledger have in common: creation, the lock, and reserved space.

use std::fs::{File, TryLockError};
use std::io;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use super::AuditError;

/// How long a process waits for the lock of another process.
const LOCK_TIMEOUT: Duration = Duration::from_secs(30);

/// Creates the directory of a file with its parents, and returns it if it was missing.
pub(super) fn create_directory(path: &Path) -> io::Result<Option<PathBuf>> {
    match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() && !parent.exists() => {
            std::fs::create_dir_all(parent)?;
            Ok(Some(parent.to_owned()))
        }
        _ => Ok(None),
    }
}

/// Locks a file until it is unlocked or closed. Waits up to 30 seconds for another process.
pub(super) fn lock(file: &File, path: &Path) -> Result<(), AuditError> {
    let until = Instant::now() + LOCK_TIMEOUT;
    loop {
        match file.try_lock() {
            Ok(()) => return Ok(()),
            Err(TryLockError::WouldBlock) if Instant::now() < until => {
                std::thread::sleep(Duration::from_millis(20));
            }
            Err(TryLockError::WouldBlock) => {
                return Err(AuditError::Locked { path: path.to_owned() });
            }
            Err(TryLockError::Error(source)) => {
                return Err(AuditError::Io { path: path.to_owned(), source });
            }
        }
    }
}

/// Reserves space on disk after the end of a regular file, whose length does not change.
///
/// A file system without `fallocate` reserves nothing, and this is not an error.
///
/// # Errors
/// Returns the error of the operating system if the disk, the quota or the limit for the size of
/// files (`RLIMIT_FSIZE`) leaves less space.
#[cfg(target_os = "linux")]
pub(super) fn reserve(file: &File, bytes: u64) -> io::Result<()> {
    use rustix::fs::{FallocateFlags, fallocate};
    use rustix::io::Errno;
    use rustix::process::{Resource, getrlimit};

    let length = file.metadata()?.len();
    if getrlimit(Resource::Fsize).current.is_some_and(|limit| length.saturating_add(bytes) > limit)
    {
        return Err(Errno::FBIG.into());
    }
    loop {
        return match fallocate(file, FallocateFlags::KEEP_SIZE, length, bytes) {
            Err(Errno::INTR) => continue,
            Err(error @ (Errno::NOSPC | Errno::DQUOT | Errno::FBIG | Errno::IO)) => {
                Err(error.into())
            }
            // The file system does not support it.
            Ok(()) | Err(_) => Ok(()),
        };
    }
}

/// Reserves nothing: only Linux can reserve space without changing the length of a file.
#[cfg(not(target_os = "linux"))]
pub(super) fn reserve(_: &File, _: u64) -> io::Result<()> {
    Ok(())
}

/// Gives reserved space after the end of a file back. The caller holds the lock.
pub(super) fn release(file: &File) -> io::Result<()> {
    file.set_len(file.metadata()?.len())
}
