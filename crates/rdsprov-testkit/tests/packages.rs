//! Only the lock file decides what is installed, whatever the registry offers.

#![allow(clippy::unwrap_used, reason = "a test")]

use std::path::Path;
use std::process::Command;

use rdsprov_testkit::packages::install_python_packages;

/// Writes a wheel and prints its SHA-256. Arguments: directory, name, version, the package
/// it requires or `-`.
const WHEEL: &str = r#"
import hashlib, sys, zipfile
directory, name, version, requires = sys.argv[1:]
info = f"{name}-{version}.dist-info"
files = {
    f"{name}.py": f"version = '{version}'\n",
    f"{info}/METADATA": f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n"
    + ("" if requires == "-" else f"Requires-Dist: {requires}\n"),
    f"{info}/WHEEL": "Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
}
files[f"{info}/RECORD"] = "".join(f"{path},,\n" for path in [*files, f"{info}/RECORD"])
path = f"{directory}/{name}-{version}-py3-none-any.whl"
with zipfile.ZipFile(path, "w") as wheel:
    for name, text in files.items():
        wheel.writestr(name, text)
print(hashlib.sha256(open(path, "rb").read()).hexdigest())
"#;

fn python(program: &Path, arguments: &[&str]) -> String {
    let output = Command::new(program).args(arguments).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap().trim().to_owned()
}

/// A package registry in a directory.
struct Registry(tempfile::TempDir);

impl Registry {
    fn publish(&self, name: &str, version: &str, requires: &str) -> String {
        let directory = self.0.path().display().to_string();
        python(Path::new("python3"), &["-c", WHEEL, &directory, name, version, requires])
    }

    fn install(&self, home: &Path, lock: &str) -> Result<String, rdsprov_testkit::Error> {
        let directory = self.0.path().display();
        let lock = format!("--no-index\n--find-links {directory}\n{lock}");
        install_python_packages("python3", home, &lock)?;
        let version = "import dependency; print(dependency.version)";
        Ok(python(&home.join("bin/python"), &["-c", version]))
    }
}

#[test]
fn later_releases_are_not_installed() {
    let (registry, homes) = (Registry(tempfile::tempdir().unwrap()), tempfile::tempdir().unwrap());
    let home = homes.path().join("locked");
    let tool = registry.publish("tool", "1.0", "dependency");
    let dependency = registry.publish("dependency", "1.0", "-");
    let tool = format!("tool==1.0 --hash=sha256:{tool}\n");
    let lock = format!("{tool}dependency==1.0 --hash=sha256:{dependency}\n");

    // A newer version of a dependency is ignored.
    registry.publish("dependency", "2.0", "-");
    assert_eq!(registry.install(&home, &lock).unwrap(), "1.0");

    // A dependency that the lock does not list is refused.
    let error = registry.install(&homes.path().join("partial"), &tool).unwrap_err();
    assert!(error.to_string().contains("--require-hashes"), "{error}");

    // The same version with different contents: a complete environment is kept, a new one is
    // refused.
    registry.publish("dependency", "1.0", "tool");
    assert_eq!(registry.install(&home, &lock).unwrap(), "1.0");
    let error = registry.install(&homes.path().join("replaced"), &lock).unwrap_err();
    assert!(error.to_string().contains("DO NOT MATCH THE HASHES"), "{error}");
}
