//! Checks the files and directories that the variables `SSL_CERT_FILE` and `SSL_CERT_DIR` name, before
//! the library that loads the certificates of the system reads them: it reads devices, pipes and
//! any number of files of any size.

use std::ffi::OsString;
use std::path::Path;

use crate::input_file::{self, Input};
use crate::server::TlsError;
use crate::text::os_reason;

/// The number of files that a directory of certificates may contain. Debian has about 450.
const MAX_FILES: usize = 10_000;

/// The size of all files in a directory of certificates, in bytes. Debian has about 400 kB.
const MAX_SIZE: u64 = 16 << 20;

/// Checks the values of the variables of OpenSSL; `variable` returns the value of a variable.
///
/// # Errors
/// Returns [`TlsError::SystemCertificates`] if one of them names a file that is not regular or too
/// large, or a directory with too many or too large files.
pub(super) fn check(variable: impl Fn(&str) -> Option<OsString>) -> Result<(), TlsError> {
    let unusable = |variable, path: &Path, reason| TlsError::SystemCertificates {
        variable,
        path: path.to_owned(),
        reason,
    };
    const FILE: &str = "SSL_CERT_FILE";
    const DIRECTORY: &str = "SSL_CERT_DIR";
    if let Some(path) = variable(FILE).filter(|path| !path.is_empty()) {
        let path = Path::new(&path);
        check_file(path).map_err(|reason| unusable(FILE, path, reason))?;
    }
    let directories = variable(DIRECTORY).unwrap_or_default();
    for path in std::env::split_paths(&directories) {
        check_directory(&path).map_err(|reason| unusable(DIRECTORY, &path, reason))?;
    }
    Ok(())
}

/// A file that does not exist contains no certificates.
fn check_file(path: &Path) -> Result<(), String> {
    match input_file::open(path).and_then(|file| file.metadata()) {
        Ok(metadata) if metadata.len() > Input::Certificates.maximum_size() => Err(format!(
            "it is larger than {} MiB, the maximum",
            Input::Certificates.maximum_size() >> 20
        )),
        Ok(_) => Ok(()),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(()),
        Err(error) => Err(os_reason(&error)),
    }
}

/// The library reads the regular files of a directory, also through links, and no others.
fn check_directory(path: &Path) -> Result<(), String> {
    let Ok(entries) = std::fs::read_dir(path) else { return Ok(()) };
    let mut size: u64 = 0;
    for (number, entry) in entries.enumerate() {
        if number >= MAX_FILES {
            return Err(format!("it contains more than {MAX_FILES} files"));
        }
        let metadata = entry.and_then(|entry| std::fs::metadata(entry.path()));
        if let Ok(file) = metadata
            && file.is_file()
        {
            size = size.saturating_add(file.len());
        }
        if size > MAX_SIZE {
            return Err(format!("its files are larger than {} MiB", MAX_SIZE >> 20));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_regular_files_of_a_bounded_size() {
        let directory = tempfile::tempdir().unwrap();
        let at = |name: &str| directory.path().join(name);
        let with = |name: &'static str, value: &Path| {
            let value = value.as_os_str().to_owned();
            check(|one| (one == name).then(|| value.clone())).map_err(|error| error.to_string())
        };
        let large = std::fs::File::create(at("large")).unwrap();
        large.set_len(Input::Certificates.maximum_size() + 1).unwrap();
        for (path, words) in [
            (Path::new("/dev/zero"), "it is not a regular file"),
            (directory.path(), "it is not a regular file"),
            (&at("large"), "it is larger than 4 MiB, the maximum"),
        ] {
            let error = with("SSL_CERT_FILE", path).unwrap_err();
            assert!(error.contains("SSL_CERT_FILE") && error.ends_with(words), "{error}");
        }
        assert_eq!(with("SSL_CERT_FILE", &at("absent")), Ok(()));
        assert_eq!(check(|_| None).map_err(|error| error.to_string()), Ok(()));
        assert_eq!(with("SSL_CERT_DIR", directory.path()), Ok(()));
        large.set_len(MAX_SIZE + 1).unwrap();
        let error = with("SSL_CERT_DIR", directory.path()).unwrap_err();
        assert!(error.ends_with("its files are larger than 16 MiB"), "{error}");
        let many = at("many");
        std::fs::create_dir(&many).unwrap();
        for number in 0..=MAX_FILES {
            std::fs::write(many.join(number.to_string()), "").unwrap();
        }
        let error = with("SSL_CERT_DIR", &many).unwrap_err();
        assert!(error.ends_with("it contains more than 10000 files"), "{error}");
    }
}
