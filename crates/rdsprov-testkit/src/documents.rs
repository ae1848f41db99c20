//! The shell commands in the documents of this repository, and which of them no test executes.

use std::fs;
use std::path::{Path, PathBuf};

/// The programs whose commands no test executes, each with the reason. A test can execute them
/// nevertheless, with a program of its own that stands in for the missing one.
pub const NOT_EXECUTED: [(&str, &str); 10] = [
    ("argo", "needs a Kubernetes cluster"),
    ("aws", "needs an AWS account"),
    ("cargo", "builds the workspace, or runs its tests"),
    ("cd", "a test runs in this directory already"),
    ("docker", "needs a container engine"),
    ("git", "needs the repository of the reader"),
    ("helm", "needs a Kubernetes cluster"),
    ("kubectl", "needs a Kubernetes cluster"),
    ("sam", "needs an AWS account"),
    ("terraform", "needs an AWS account"),
];

/// The comment before a block that no test executes, and the one for all blocks of a page. The reason
/// follows.
const MARKERS: [&str; 2] = ["<!-- not executed: ", "<!-- not executed on this page: "];

/// The languages of blocks with commands of a shell.
const SHELLS: [&str; 4] = ["bash", "console", "sh", "shell"];

/// A Markdown file for readers.
#[derive(Debug)]
pub struct Document {
    /// The path below the root of the repository.
    pub name: String,
    /// The content.
    pub text: String,
}

/// A fenced block with commands of a shell.
#[derive(Debug)]
pub struct ShellBlock<'a> {
    /// The line of its fence, from 1.
    pub line: usize,
    /// The heading above.
    pub heading: &'a str,
    /// Why no test executes it, from the comment before it or from that of the page.
    pub reason: Option<&'a str>,
    /// The commands. A command can have several lines.
    pub commands: Vec<String>,
    /// The lines between the commands: what they print.
    pub output: Vec<&'a str>,
}

/// Returns the root of the repository.
#[must_use]
pub fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

/// Returns the documents: the Markdown files at the root, and those in `docs`, `deploy` and `examples`.
///
/// # Panics
/// Panics if a file cannot be read.
#[must_use]
pub fn documents() -> Vec<Document> {
    let root = root();
    let mut names = Vec::new();
    markdown_files(&root, Path::new(""), &mut names);
    for directory in ["docs", "deploy", "examples"] {
        markdown_files(&root, Path::new(directory), &mut names);
    }
    names.sort();
    let read = |name: String| match fs::read_to_string(root.join(&name)) {
        Ok(text) => Document { name, text },
        Err(error) => panic!("{name}: {error}"),
    };
    names.into_iter().map(read).collect()
}

/// Adds the Markdown files in a directory and, except at the root, below it.
fn markdown_files(root: &Path, directory: &Path, names: &mut Vec<String>) {
    let entries = fs::read_dir(root.join(directory)).into_iter().flatten().flatten();
    for entry in entries {
        let name = directory.join(entry.file_name());
        if entry.path().is_dir() {
            if !directory.as_os_str().is_empty() {
                markdown_files(root, &name, names);
            }
        } else if name.extension().is_some_and(|end| end == "md") {
            names.push(name.display().to_string());
        }
    }
}

/// Returns the text between a heading and the next one, without the heading.
#[must_use]
pub fn section<'a>(text: &'a str, title: &str) -> Option<&'a str> {
    let (mut start, mut within_fence, mut offset) = (None, false, 0);
    for line in text.split_inclusive('\n') {
        within_fence ^= line.trim_start().starts_with("```");
        if let Some(heading) = heading(line).filter(|_| !within_fence) {
            match start {
                Some(start) => return text.get(start..offset),
                None if heading == title => start = Some(offset + line.len()),
                None => {}
            }
        }
        offset += line.len();
    }
    text.get(start?..)
}

/// Returns the title if a line is a heading.
fn heading(line: &str) -> Option<&str> {
    line.strip_prefix('#')?.trim_start_matches('#').strip_prefix(' ').map(str::trim)
}

/// Returns the blocks with commands of a shell.
#[must_use]
pub fn shell_blocks(text: &str) -> Vec<ShellBlock<'_>> {
    let [of_block, of_page] = MARKERS;
    let reason_in = |line: &'_ str, marker| -> Option<usize> {
        line.strip_prefix(marker)?.strip_suffix(" -->").map(str::len)
    };
    let mut blocks = Vec::new();
    let (mut title, mut reason, mut page_reason) = ("", None, None);
    let mut fence: Option<(usize, &str, Vec<&str>)> = None;
    for (index, line) in text.lines().enumerate() {
        let trimmed = line.trim_start();
        match (&mut fence, trimmed.strip_prefix("```")) {
            (None, Some(language)) => {
                fence = Some((index + 1, language, Vec::new()));
            }
            (Some(_), Some(_)) => {
                if let Some((line, language, lines)) = fence.take()
                    && SHELLS.contains(&language)
                {
                    let (commands, output) = commands(language, &lines);
                    let reason = reason.or(page_reason);
                    blocks.push(ShellBlock { line, heading: title, reason, commands, output });
                }
                reason = None;
            }
            (Some((_, _, lines)), None) => lines.push(line),
            (None, None) => {
                title = heading(line).unwrap_or(title);
                if let Some(length) = reason_in(trimmed, of_block) {
                    reason = trimmed.get(of_block.len()..of_block.len() + length);
                } else if let Some(length) = reason_in(trimmed, of_page) {
                    page_reason = trimmed.get(of_page.len()..of_page.len() + length);
                } else if !trimmed.is_empty() {
                    reason = None;
                }
            }
        }
    }
    blocks
}

/// Returns the commands in the lines of a block, and the other lines.
fn commands<'a>(language: &str, lines: &[&'a str]) -> (Vec<String>, Vec<&'a str>) {
    let (mut commands, mut output) = (Vec::new(), Vec::new());
    let mut lines = lines.iter().copied();
    while let Some(line) = lines.next() {
        let command = match language {
            "console" => line.trim_start().strip_prefix("$ "),
            _ => Some(line).filter(|line| !line.is_empty() && !line.starts_with('#')),
        };
        let Some(command) = command else {
            output.push(line);
            continue;
        };
        let mut command = command.to_owned();
        while command.ends_with('\\') {
            command.push('\n');
            command.push_str(lines.next().unwrap_or_default());
        }
        commands.push(command);
    }
    (commands, output)
}

/// Returns the reason why no test executes a command.
#[must_use]
pub fn reason_not_executed(command: &str) -> Option<&'static str> {
    let program = program(command);
    NOT_EXECUTED.iter().find(|(name, _)| *name == program).map(|(_, reason)| *reason)
}

/// Returns the program that a command runs.
#[must_use]
pub fn program(command: &str) -> &str {
    let is_assignment = |word: &&str| {
        word.split_once('=')
            .is_some_and(|(name, _)| name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_'))
    };
    command.split_whitespace().find(|word| !is_assignment(word)).unwrap_or_default()
}

/// Returns the words from a program to the end of its arguments, wherever a command names the program.
#[must_use]
pub fn invocations(command: &str, program: &str) -> Vec<Vec<String>> {
    let mut found = Vec::new();
    for words in simple_commands(command) {
        let starts = words.iter().enumerate().filter(|(_, word)| *word == program);
        found.extend(starts.map(|(start, _)| words[start..].to_vec()));
    }
    found
}

/// Splits a command line into the words of its parts, without quotes and comments. What follows a
/// redirection is a part of its own.
fn simple_commands(line: &str) -> Vec<Vec<String>> {
    let mut parts = vec![Vec::new()];
    let mut word: Option<String> = None;
    let mut characters = line.chars();
    while let Some(character) = characters.next() {
        match character {
            '\'' | '"' => {
                let quoted = characters.by_ref().take_while(|c| *c != character);
                word.get_or_insert_default().extend(quoted);
            }
            '\\' => {
                if let Some(next) = characters.next().filter(|next| *next != '\n') {
                    word.get_or_insert_default().push(next);
                }
            }
            '#' if word.is_none() => {
                let _ = characters.by_ref().find(|c| *c == '\n');
            }
            ' ' | '\n' | '|' | '&' | ';' | '<' | '>' | '(' | ')' => {
                if let (Some(word), Some(part)) = (word.take(), parts.last_mut()) {
                    part.push(word);
                }
                if character != ' ' {
                    parts.push(Vec::new());
                }
            }
            _ => word.get_or_insert_default().push(character),
        }
    }
    if let (Some(word), Some(part)) = (word, parts.last_mut()) {
        part.push(word);
    }
    parts
}

#[cfg(test)]
mod tests {
    use super::{invocations, section, shell_blocks};

    const PAGE: &str = "# Page\n\n## One\n\n```console\n$ a \\\n    b # c\nprinted\n$ d\n```\n\n\
        <!-- not executed: no server -->\n\n```sh\n# a comment\ne\n```\n\n## Two\n```sql\nf\n```\n";

    #[test]
    fn commands_are_found() {
        let blocks = shell_blocks(PAGE);
        assert_eq!(blocks.len(), 2);
        assert_eq!(blocks[0].commands, ["a \\\n    b # c", "d"]);
        assert_eq!((blocks[0].line, blocks[0].heading, blocks[0].reason), (5, "One", None));
        assert_eq!(blocks[0].output, ["printed"]);
        assert_eq!((blocks[1].commands[0].as_str(), blocks[1].reason), ("e", Some("no server")));
    }

    #[test]
    fn reason_of_a_page_concerns_each_block() {
        let page = format!("<!-- not executed on this page: examples -->\n{PAGE}");
        let reasons: Vec<_> = shell_blocks(&page).iter().map(|block| block.reason).collect();
        assert_eq!(reasons, [Some("examples"), Some("no server")]);
    }

    #[test]
    fn sections_end_at_the_next_heading() {
        assert_eq!(section(PAGE, "Two"), Some("```sql\nf\n```\n"));
        let one = section(PAGE, "One").unwrap_or_default();
        assert!(one.contains("# a comment") && !one.contains("sql"), "{one}");
        assert_eq!(section(PAGE, "Three"), None);
    }

    #[test]
    fn invocations_end_with_their_arguments() {
        let line = "A=b c run \"x y\" 'z' \\\n  -q # run no\n | run w > run.txt";
        assert_eq!(invocations(line, "run"), [vec!["run", "x y", "z", "-q"], vec!["run", "w"]]);
    }
}
