//! What the CSV file and the ledger have in common: creation, the lock, and reserved space.

use std::fs::{File, Metadata, OpenOptions, TryLockError};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use super::AuditError;

/// How long a process waits for the lock of another process.
const LOCK_TIMEOUT: Duration = Duration::from_secs(30);

/// The same for a run that is to end soon.
const SHORT_LOCK_TIMEOUT: Duration = Duration::from_secs(5);

/// Creates the directory of a file with its parents, and returns it if it was missing.
fn create_directory(path: &Path) -> io::Result<Option<PathBuf>> {
    match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() && !parent.exists() => {
            std::fs::create_dir_all(parent)?;
            Ok(Some(parent.to_owned()))
        }
        _ => Ok(None),
    }
}

/// Opens an existing file to read it and to append to it.
///
/// # Errors
/// Returns [`AuditError::NotRegular`] for anything but a regular file: a symbolic link could lead to
/// a file of another program, and a pipe without a reader would stop a run in the middle. Returns
/// [`AuditError::Io`] for the file of another user in a directory that all users share.
pub(super) fn open(path: &Path) -> Result<File, AuditError> {
    let failed = |source| AuditError::Io { path: path.to_owned(), source };
    let is_link = path.symlink_metadata().is_ok_and(|found| found.is_symlink());
    let file = match options(0).open(path) {
        Ok(file) => file,
        Err(_) if is_link => return Err(AuditError::NotRegular { path: path.to_owned() }),
        Err(error) => return Err(failed(error)),
    };
    if is_link || !file.metadata().map_err(failed)?.is_file() {
        return Err(AuditError::NotRegular { path: path.to_owned() });
    }
    check_owner(&file, path).map_err(failed)?;
    Ok(file)
}

/// Opens a file as [`open`] does, and returns `None` if it does not exist.
pub(super) fn open_existing(path: &Path) -> Result<Option<File>, AuditError> {
    match open(path) {
        Err(AuditError::Io { source, .. }) if source.kind() == io::ErrorKind::NotFound => Ok(None),
        file => file.map(Some),
    }
}

/// Checks that a missing file could be created with its directories. Creates nothing.
///
/// # Errors
/// Returns an error if the first of its directories that exists is not one, or is closed to the user.
pub(crate) fn check_creatable(path: &Path) -> Result<(), AuditError> {
    let check = || {
        let absolute = std::path::absolute(path)?;
        // A symbolic link that leads nowhere exists, too: no directory can have its name.
        let existing = absolute.ancestors().skip(1).find(|one| one.symlink_metadata().is_ok());
        let directory = existing.ok_or(io::ErrorKind::NotFound)?;
        if !directory.is_dir() {
            return Err(io::ErrorKind::NotADirectory.into());
        }
        is_open(directory)
    };
    check().map_err(|source| AuditError::Io { path: path.to_owned(), source })
}

/// Checks that the user can create files in a directory.
#[cfg(unix)]
fn is_open(directory: &Path) -> io::Result<()> {
    use rustix::fs::{Access, access};

    Ok(access(directory, Access::WRITE_OK | Access::EXEC_OK)?)
}

/// Checks nothing: only Unix can be asked.
#[cfg(not(unix))]
fn is_open(_: &Path) -> io::Result<()> {
    Ok(())
}

/// Opens a file as [`open`] does. A missing file is created, for the user and the group only.
pub(super) fn open_or_create(path: &Path) -> Result<File, AuditError> {
    if let Some(file) = open_existing(path)? {
        return Ok(file);
    }
    match options(0o640).create_new(true).open(path) {
        // Another run has created it.
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => open(path),
        Err(source) => Err(AuditError::Io { path: path.to_owned(), source }),
        Ok(file) => Ok(file),
    }
}

/// Checks the owner of an existing file in a directory in which each user can create files: another user can have
/// created it before the first run, and this user can remove records from it.
#[cfg(unix)]
fn check_owner(file: &File, path: &Path) -> io::Result<()> {
    use std::os::unix::fs::MetadataExt as _;

    let parent = path.parent().filter(|parent| !parent.as_os_str().is_empty());
    let directory = parent.unwrap_or(Path::new(".")).metadata()?;
    let owners = [0, rustix::process::geteuid().as_raw()];
    if directory.mode() & 0o002 != 0 && !owners.contains(&file.metadata()?.uid()) {
        return Err(io::Error::other(
            "it belongs to another user, and each user can create files in its directory",
        ));
    }
    Ok(())
}

/// Checks nothing: only Unix has owners as numbers.
#[cfg(not(unix))]
fn check_owner(_: &File, _: &Path) -> io::Result<()> {
    Ok(())
}

/// Opens a file as [`open_or_create`] does, and creates its directory with the parents. Returns the
/// directory if it was missing.
pub(super) fn open_with_directory(path: &Path) -> Result<(File, Option<PathBuf>), AuditError> {
    let directory = create_directory(path)
        .map_err(|source| AuditError::Io { path: path.to_owned(), source })?;
    Ok((open_or_create(path)?, directory))
}

/// Returns how all files are opened: without following a symbolic link or waiting for a pipe.
#[cfg(unix)]
fn options(mode: u32) -> OpenOptions {
    use std::os::unix::fs::OpenOptionsExt as _;

    use rustix::fs::OFlags;

    let flags = OFlags::NOFOLLOW | OFlags::NONBLOCK;
    let mut options = OpenOptions::new();
    // The flags of the operating systems that Rust supports fit into an `i32`.
    #[allow(clippy::cast_possible_wrap, reason = "see above")]
    options.read(true).append(true).mode(mode).custom_flags(flags.bits() as i32);
    options
}

/// Returns how all files are opened.
#[cfg(not(unix))]
fn options(_: u32) -> OpenOptions {
    let mut options = OpenOptions::new();
    options.read(true).append(true);
    options
}

/// How long a process waits for locks of other processes.
#[derive(Debug, Clone, Default)]
pub(crate) struct Patience {
    /// Whether the run is to end soon.
    is_short: Arc<AtomicBool>,
}

impl Patience {
    /// Shortens the current wait and all later ones.
    #[cfg(feature = "postgres")]
    pub(crate) fn shorten(&self) {
        self.is_short.store(true, Ordering::Relaxed);
    }

    fn limit(&self) -> Duration {
        if self.is_short.load(Ordering::Relaxed) { SHORT_LOCK_TIMEOUT } else { LOCK_TIMEOUT }
    }
}

/// The lock of the CSV file or the ledger, until it is dropped.
///
/// It is the lock (`flock`) of another file in the same directory, `NAME.lock`. Only a user that may write the
/// first file can open it: a user that may only read a file can hold its lock, and so stop each run.
///
/// In a directory that users share, each of them can create `NAME.lock`. So it counts only if it is a regular
/// file of the owner of the first file, or of root. Otherwise the lock is that of the first file, also in a
/// directory where no file can be created.
pub(super) struct Lock {
    file: File,
}

impl Drop for Lock {
    fn drop(&mut self) {
        // An error is ignored: closing the file also releases the lock.
        let _ = self.file.unlock();
    }
}

impl Lock {
    /// Takes the lock of an open file. Waits for another process, by default up to 30 seconds.
    pub(super) fn take(file: &File, path: &Path, patience: &Patience) -> Result<Self, AuditError> {
        let mut name = path.as_os_str().to_owned();
        name.push(".lock");
        let lock_path = PathBuf::from(name);
        let failed = |source| AuditError::Io { path: lock_path.clone(), source };
        let since = Instant::now();
        let is_over = |limit: Duration| since.elapsed() >= limit.min(patience.limit());
        let wait = |lock: File, limit: Duration| loop {
            match lock.try_lock() {
                Ok(()) => return Ok(Self { file: lock }),
                Err(TryLockError::WouldBlock) if !is_over(limit) => {
                    std::thread::sleep(Duration::from_millis(20));
                }
                Err(TryLockError::WouldBlock) => {
                    return Err(AuditError::Locked { path: path.to_owned() });
                }
                Err(TryLockError::Error(source)) => return Err(failed(source)),
            }
        };
        loop {
            if let Some(lock) = lock_file(&lock_path, file)? {
                return wait(lock, LOCK_TIMEOUT);
            }
            let own = file.try_clone().map_err(failed)?;
            let can_create = can_own_lock(&file.metadata().map_err(failed)?);
            // The other writers have the lock of the file itself for a moment only, and a user that may only
            // read the file must not prevent that the lock file is created.
            let limit = if can_create { SHORT_LOCK_TIMEOUT } else { LOCK_TIMEOUT };
            let own = match wait(own, limit) {
                Err(AuditError::Locked { .. }) if can_create => None,
                own => Some(own?),
            };
            if lock_file(&lock_path, file)?.is_some()
                || can_create && create_lock_file(&lock_path, file)?
            {
                continue;
            }
            return match own {
                Some(own) => Ok(own),
                None => wait(file.try_clone().map_err(failed)?, LOCK_TIMEOUT),
            };
        }
    }
}

/// Opens the lock file of a file, if it is one that counts.
fn lock_file(lock_path: &Path, file: &File) -> Result<Option<File>, AuditError> {
    let failed = |source| AuditError::Io { path: lock_path.to_owned(), source };
    let of_file = file.metadata().map_err(failed)?;
    let counts = |found: &Metadata| found.is_file() && is_of_owner(found, &of_file);
    match lock_path.symlink_metadata() {
        Ok(found) if counts(&found) => {}
        Ok(_) => return Ok(None),
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(failed(error)),
    }
    let Some(lock) = open_existing(lock_path)? else { return Ok(None) };
    let found = lock.metadata().map_err(failed)?;
    Ok(counts(&found).then_some(lock))
}

/// Creates the lock file of a file. Returns whether it is new.
fn create_lock_file(lock_path: &Path, file: &File) -> Result<bool, AuditError> {
    let failed = |source| AuditError::Io { path: lock_path.to_owned(), source };
    match options(0o600).create_new(true).open(lock_path) {
        Ok(lock) => share_with_writers(&lock, file).map(|()| true).map_err(failed),
        // Another user has created something else with this name.
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(false),
        Err(error) if is_closed(&error) => Ok(false),
        Err(error) => Err(failed(error)),
    }
}

/// Returns whether a file belongs to root or to the owner of another file. A hard link could be one to a file
/// of the owner that other users can open.
#[cfg(unix)]
fn is_of_owner(found: &Metadata, of_file: &Metadata) -> bool {
    use std::os::unix::fs::MetadataExt as _;

    found.nlink() == 1 && [0, of_file.uid()].contains(&found.uid())
}

/// Returns whether a file belongs to root or to the owner of another file.
#[cfg(not(unix))]
fn is_of_owner(_: &Metadata, _: &Metadata) -> bool {
    true
}

/// Returns whether a lock file that this process creates counts for all users that may write a file.
#[cfg(unix)]
fn can_own_lock(of_file: &Metadata) -> bool {
    use std::os::unix::fs::MetadataExt as _;

    let user = rustix::process::geteuid();
    user.is_root() || user.as_raw() == of_file.uid()
}

/// Returns whether a lock file that this process creates counts for all users that may write a file.
#[cfg(not(unix))]
fn can_own_lock(_: &Metadata) -> bool {
    true
}

/// Returns whether no file can be created in a directory.
fn is_closed(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::PermissionDenied | io::ErrorKind::ReadOnlyFilesystem)
}

/// Gives a lock file to the users that may write another file. If root creates it, it belongs to the owner of
/// this file.
#[cfg(unix)]
fn share_with_writers(lock: &File, file: &File) -> io::Result<()> {
    use std::fs::Permissions;
    use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};

    let found = file.metadata()?;
    let writers = found.mode() & 0o222;
    if rustix::process::geteuid().is_root() {
        std::os::unix::fs::fchown(lock, Some(found.uid()), Some(found.gid()))?;
    } else if writers & 0o022 != 0 {
        // Fails if the user does not belong to this group: then only this user can lock the file.
        let _ = std::os::unix::fs::fchown(lock, None, Some(found.gid()));
    }
    lock.set_permissions(Permissions::from_mode(writers | writers << 1))
}

/// Gives a lock file to the users that may write another file.
#[cfg(not(unix))]
fn share_with_writers(_: &File, _: &File) -> io::Result<()> {
    Ok(())
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
