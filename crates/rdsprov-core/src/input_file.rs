//! Reads the files that a run takes as input: definitions, configuration, saved plans,
//! certificates and secrets. No other module reads such a file.
//!
//! Only regular files of a bounded size are read. A device, a pipe or a huge file in the place of
//! one of these files cannot stop a run or take its memory.

use std::fs::File;
use std::io::{Error, ErrorKind, Read as _, Result};
use std::path::Path;

use zeroize::Zeroizing;

use crate::site_policy::SizeLimit;

const KIB: u64 = 1024;
const MIB: u64 = 1024 * KIB;

/// What a file contains, which decides its maximum size.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Input {
    /// Definitions.
    Definitions,
    /// `rdsprov.toml`, or a configuration file of the AWS CLI.
    Configuration,
    /// A saved plan.
    SavedPlan,
    /// An access report in its JSON form.
    AccessReport,
    /// Certificates, or a private key.
    Certificates,
    /// A secret. Secrets Manager also stores up to 64 KiB.
    Secret,
}

impl Input {
    /// Returns the maximum size of the file in bytes.
    #[must_use]
    pub fn maximum_size(self) -> u64 {
        match self {
            Self::Definitions => 16 * MIB,
            Self::Configuration => MIB,
            Self::SavedPlan | Self::AccessReport => 64 * MIB,
            Self::Certificates => 4 * MIB,
            Self::Secret => 64 * KIB,
        }
    }
}

/// Reads a file.
///
/// # Errors
/// Returns an error if the file cannot be read, is not a regular file, or is too large.
pub fn read(path: &Path, input: Input) -> Result<Zeroizing<Vec<u8>>> {
    read_within(path, input, None)
}

/// Reads a file for which the site policy can set a lower maximum size.
///
/// # Errors
/// Returns the errors of [`read`], also if the file is larger than the limit.
pub fn read_within(
    path: &Path,
    input: Input,
    limit: Option<&SizeLimit>,
) -> Result<Zeroizing<Vec<u8>>> {
    let (maximum, policy) = maximum(input, limit);
    read_up_to(open(path)?, maximum)?.ok_or_else(|| too_large(maximum, policy))
}

/// Checks the size of a text that a caller gives instead of a file.
///
/// # Errors
/// Returns an error if a file with this text would be too large.
pub fn check_size(text: &str, input: Input, limit: Option<&SizeLimit>) -> Result<()> {
    let (maximum, policy) = maximum(input, limit);
    if text.len() as u64 > maximum { Err(too_large(maximum, policy)) } else { Ok(()) }
}

/// Returns the maximum size in bytes, and the site policy that sets it.
fn maximum(input: Input, limit: Option<&SizeLimit>) -> (u64, Option<&str>) {
    let built_in = input.maximum_size();
    let limit = limit.filter(|limit| limit.bytes < built_in);
    limit.map_or((built_in, None), |limit| (limit.bytes, Some(limit.policy.as_str())))
}

/// Reads a file that contains text.
///
/// # Errors
/// Returns an error if the file cannot be read, is not a regular file, is too large, or is not
/// valid UTF-8.
pub fn read_text(path: &Path, input: Input) -> Result<String> {
    read_text_within(path, input, None)
}

/// Reads a file that contains text, and for which the site policy can set a lower maximum size.
///
/// # Errors
/// Returns the errors of [`read_text`], also if the file is larger than the limit.
pub fn read_text_within(path: &Path, input: Input, limit: Option<&SizeLimit>) -> Result<String> {
    let bytes = read_within(path, input, limit)?;
    std::str::from_utf8(&bytes)
        .map(str::to_owned)
        .map_err(|_| Error::new(ErrorKind::InvalidData, "it is not encoded in UTF-8"))
}

/// Opens a regular file for reading. Symbolic links are followed.
///
/// # Errors
/// Returns an error if the file cannot be opened or is not a regular file.
pub fn open(path: &Path) -> Result<File> {
    let not_regular = || Error::new(ErrorKind::InvalidInput, "it is not a regular file");
    // To open a pipe would wait for its writer.
    if !std::fs::metadata(path)?.is_file() {
        return Err(not_regular());
    }
    let file = File::open(path)?;
    if file.metadata()?.is_file() { Ok(file) } else { Err(not_regular()) }
}

/// Reads a file that [`open`] has returned.
///
/// # Errors
/// Returns an error if the file cannot be read or is too large.
pub fn read_opened(file: File, input: Input) -> Result<Zeroizing<Vec<u8>>> {
    let maximum = input.maximum_size();
    read_up_to(file, maximum)?.ok_or_else(|| too_large(maximum, None))
}

/// Reads a file, or returns `None` if it is larger than a number of bytes.
fn read_up_to(file: File, maximum: u64) -> Result<Option<Zeroizing<Vec<u8>>>> {
    let size = file.metadata()?.len();
    if size > maximum {
        return Ok(None);
    }
    let capacity = usize::try_from(size).unwrap_or_default();
    let mut bytes = Zeroizing::new(Vec::with_capacity(capacity + 1));
    // The file can grow while it is read.
    file.take(maximum + 1).read_to_end(&mut bytes)?;
    Ok((bytes.len() as u64 <= maximum).then_some(bytes))
}

/// Returns the error of a file that is larger than the built-in maximum, or than that of a policy.
fn too_large(maximum: u64, policy: Option<&str>) -> Error {
    let size = match maximum {
        1 => "1 byte".to_owned(),
        bytes if bytes % MIB == 0 => format!("{} MiB", bytes / MIB),
        bytes if bytes % KIB == 0 => format!("{} KiB", bytes / KIB),
        bytes => format!("{bytes} bytes"),
    };
    let set_in = policy.map(|path| format!(" in {path}")).unwrap_or_default();
    Error::new(ErrorKind::FileTooLarge, format!("it is larger than {size}, the maximum{set_in}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_regular_files_of_a_bounded_size_are_read() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("file");
        let with_size = |size: u64| {
            File::create(&path).unwrap().set_len(size).unwrap();
            read(&path, Input::Secret).map(|bytes| bytes.len() as u64)
        };
        let maximum = Input::Secret.maximum_size();
        assert_eq!(with_size(maximum).unwrap(), maximum);
        let error = with_size(maximum + 1).unwrap_err().to_string();
        assert_eq!(error, "it is larger than 64 KiB, the maximum");
        // A policy can only lower a maximum.
        let within = |bytes: u64| {
            let limit = SizeLimit { bytes, policy: "policy.toml".to_owned() };
            with_size(1025).unwrap();
            read_within(&path, Input::Secret, Some(&limit)).map_err(|error| error.to_string())
        };
        assert_eq!(within(1025).unwrap().len(), 1025);
        let error = within(1024).unwrap_err();
        assert_eq!(error, "it is larger than 1 KiB, the maximum in policy.toml");
        let error = within(100).unwrap_err();
        assert_eq!(error, "it is larger than 100 bytes, the maximum in policy.toml");
        let limit = SizeLimit { bytes: u64::MAX, policy: "policy.toml".to_owned() };
        with_size(1).unwrap();
        File::create(&path).unwrap().set_len(maximum + 1).unwrap();
        let error = read_within(&path, Input::Secret, Some(&limit)).unwrap_err().to_string();
        assert_eq!(error, "it is larger than 64 KiB, the maximum");
        for path in [directory.path(), Path::new("/dev/zero")] {
            let error = read(path, Input::Definitions).unwrap_err().to_string();
            assert_eq!(error, "it is not a regular file", "{}", path.display());
        }
        let error = read(&directory.path().join("absent"), Input::Secret).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::NotFound);
    }
}
