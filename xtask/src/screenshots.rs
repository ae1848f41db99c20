//! Takes screenshots of the HTML access report with Chromium, for a person to look at.

use std::path::{Path, PathBuf};

use crate::process::run;

/// Width and height of each window: a telephone, a tablet and a desktop screen.
const SIZES: [(u32, u32); 3] = [(360, 900), (1024, 900), (1920, 1000)];

/// The names of the colour schemes, and their numbers in Chromium.
const SCHEMES: [(&str, u32); 2] = [("dark", 0), ("light", 1)];

/// Writes a PNG file for each size and colour scheme of a page to a directory.
pub fn take(page: &Path, directory: &Path) -> Result<(), String> {
    let failed = |error: std::io::Error| format!("{}: {error}", page.display());
    let page = page.canonicalize().map_err(failed)?;
    std::fs::create_dir_all(directory).map_err(failed)?;
    let program =
        ["chromium", "chromium-browser", "google-chrome"].into_iter().find(|name| on_path(name));
    let program = program.ok_or("Chromium is not installed: `apt-get install chromium`")?;
    for (width, height) in SIZES {
        for (scheme, number) in SCHEMES {
            let file = directory.join(format!("{width}-{scheme}.png"));
            run(
                program,
                &[
                    "--headless=new",
                    "--no-sandbox",
                    "--disable-gpu",
                    "--hide-scrollbars",
                    &format!("--window-size={width},{height}"),
                    &format!("--blink-settings=preferredColorScheme={number}"),
                    &format!("--screenshot={}", file.display()),
                    &format!("file://{}", page.display()),
                ],
                &[],
            )?;
        }
    }
    Ok(())
}

fn on_path(program: &str) -> bool {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path).map(|one: PathBuf| one.join(program)).any(|one| one.is_file())
}
