//! `anyport providers new`: a project of one's own, outside the host's repository. It has the SDK,
//! the contract and their documentation in it, so that it needs nothing but a compiler and the
//! registry of crates.

use crate::failure::{Failure, Outcome};
use crate::output::Output;
use clap::Args;
use serde_json::json;
use std::fs::File;
use std::io::Write;
use std::path::{Path, PathBuf};

include!(concat!(env!("OUT_DIR"), "/project.rs"));

/// Crates that the project uses, and names that cargo keeps for itself.
const TAKEN: [&str; 12] = [
    "anyport-sdk",
    "build",
    "core",
    "deps",
    "examples",
    "incremental",
    "proc-macro",
    "serde",
    "serde-json",
    "std",
    "test",
    "alloc",
];
const KEYWORDS: &str = " abstract as async await become box break const continue crate do dyn \
    else enum extern false final fn for gen if impl in let loop macro match mod move mut override \
    priv pub ref return self static struct super trait true try type typeof unsafe unsized use \
    virtual where while yield ";
const NAME_CHARS: usize = 64;

#[derive(Args, Debug)]
pub struct New {
    /// Its id, and its crate's: lower-case letters, digits and hyphens
    name: String,
    /// Where to write it [default: ./NAME]
    #[arg(long, value_name = "DIRECTORY")]
    dir: Option<PathBuf>,
}

impl New {
    pub fn run(&self, output: &Output) -> Outcome {
        check_name(&self.name).map_err(Failure::usage)?;
        let folder = self
            .dir
            .clone()
            .unwrap_or_else(|| PathBuf::from(&self.name));
        write(&folder, &self.name)?;
        let shown = folder.display();
        if output.json() {
            let project = json!({"provider": self.name, "directory": folder});
            return output.line(&project.to_string());
        }
        let component = self.name.replace('-', "_");
        output.line(&format!("{shown} is written. Next:\n"))?;
        for line in [
            format!("cd {shown}"),
            "cargo test".to_owned(),
            "cargo build --target wasm32-wasip2 --release".to_owned(),
            format!("anyport providers check target/wasm32-wasip2/release/{component}.wasm"),
        ] {
            output.line(&format!("    {line}"))?;
        }
        output.line("\nREADME.md there says the rest.")
    }
}

fn check_name(name: &str) -> Result<(), String> {
    let wrong = |rule: &str| Err(format!("NAME `{name}`: {rule}"));
    if name.len() > NAME_CHARS {
        return wrong(&format!("it has at most {NAME_CHARS} characters"));
    }
    if !name.starts_with(|first: char| first.is_ascii_lowercase()) {
        return wrong("it begins with a lower-case letter (a to z)");
    }
    let fits = |one: char| one.is_ascii_lowercase() || one.is_ascii_digit() || one == '-';
    if let Some(other) = name.chars().find(|one| !fits(*one)) {
        return wrong(&format!(
            "lower-case letters, digits and hyphens only, not `{other}`"
        ));
    }
    if name.ends_with('-') || name.contains("--") {
        return wrong("a hyphen stands between two letters or digits");
    }
    // In WIT, where it names a package, each word begins with a letter.
    if name
        .split('-')
        .any(|word| word.starts_with(|first: char| first.is_ascii_digit()))
    {
        return wrong("each word between hyphens begins with a letter");
    }
    if TAKEN.contains(&name) || KEYWORDS.contains(&format!(" {name} ")) {
        return wrong("this is the name of something in Rust or cargo; choose another");
    }
    Ok(())
}

/// Nothing is written over: into a folder that is new or empty, or nowhere.
fn write(folder: &Path, name: &str) -> Outcome {
    match std::fs::read_dir(folder) {
        Ok(mut entries) => {
            if entries.next().is_some() {
                return Err(Failure::usage(format!(
                    "{} is there and not empty; nothing was written. --dir names another place",
                    folder.display()
                )));
            }
        }
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
        Err(error) => return Err(cannot_write(folder, &error)),
    }
    for (file, text) in FILES {
        let (file, text) = made(file, text, name);
        let path = folder.join(file);
        let parent = path.parent().unwrap_or(folder);
        std::fs::create_dir_all(parent)
            .and_then(|()| File::create_new(&path))
            .and_then(|mut file| file.write_all(text.as_bytes()))
            .map_err(|error| cannot_write(&path, &error))?;
    }
    Ok(())
}

/// The file's name in the project, and what stands in it. What ends in `.in` is filled in.
fn made(file: &str, text: &str, name: &str) -> (String, String) {
    if file == "gitignore" {
        return (".gitignore".to_owned(), text.to_owned());
    }
    let Some(file) = file.strip_suffix(".in") else {
        return (file.to_owned(), text.to_owned());
    };
    let text = text
        .replace("{{name}}", name)
        .replace("{{crate}}", &name.replace('-', "_"))
        .replace("{{type}}", &type_name(name))
        .replace("{{title}}", &title(name))
        .replace("{{version}}", env!("CARGO_PKG_VERSION"))
        .replace("{{dependencies}}\n", DEPENDENCIES);
    (file.to_owned(), text)
}

fn capital(word: &str) -> String {
    let (first, rest) = word.split_at(word.len().min(1));
    first.to_ascii_uppercase() + rest
}

fn title(name: &str) -> String {
    name.split('-').map(capital).collect::<Vec<_>>().join(" ")
}

/// In capitals, and longer where the sources use that word for something else.
fn type_name(name: &str) -> String {
    let camel: String = name.split('-').map(capital).collect();
    let word = |character: char| !(character.is_alphanumeric() || character == '_');
    let sources = FILES.iter().filter(|(file, _)| file.ends_with(".rs.in"));
    let used = sources
        .flat_map(|(_, text)| text.split(word))
        .any(|used| used == camel);
    match used {
        true => camel + "Channel",
        false => camel,
    }
}

fn cannot_write(path: &Path, error: &std::io::Error) -> Failure {
    Failure::local(format!("{} cannot be written: {error}", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names() {
        for good in ["parrot", "my-channel", "x", "a1-b2", &"n".repeat(64)] {
            assert_eq!(check_name(good), Ok(()), "{good}");
        }
        for (bad, phrase) in [
            ("", "begins with a lower-case letter"),
            ("Parrot", "begins with a lower-case letter"),
            ("1st", "begins with a lower-case letter"),
            ("-a", "begins with a lower-case letter"),
            ("my_channel", "not `_`"),
            ("a b", "not ` `"),
            ("../evil", "begins with a lower-case letter"),
            ("a/b", "not `/`"),
            ("straße", "not `ß`"),
            ("a-", "a hyphen stands between"),
            ("a--b", "a hyphen stands between"),
            ("a-1", "each word between hyphens begins with a letter"),
            ("async", "something in Rust"),
            ("serde-json", "something in Rust"),
            (&"n".repeat(65), "at most 64 characters"),
        ] {
            let message = check_name(bad).unwrap_err();
            assert!(message.contains(phrase), "{message}");
            assert!(message.starts_with("NAME `"), "{message}");
        }
    }

    #[test]
    fn nothing_is_left_open() {
        for (file, text) in FILES {
            let (file, text) = made(file, text, "my-channel");
            let as_it_is = ["vendor/anyport/sdk/src", "vendor/anyport/docs"];
            if !as_it_is.iter().any(|folder| file.starts_with(folder)) {
                assert!(!text.contains("{{"), "{file}: {text}");
            }
            assert!(!file.ends_with(".in"), "{file}");
        }
        assert_eq!(type_name("my-channel"), "MyChannel");
        assert_eq!(type_name("message"), "MessageChannel");
        assert_eq!(title("my-channel"), "My Channel");
    }

    /// What a project says is in its vendored folder is there.
    #[test]
    fn what_is_named_is_there() {
        let names: Vec<&str> = FILES.iter().map(|(file, _)| *file).collect();
        let mut named = 0;
        for (_, text) in FILES.iter().filter(|(file, _)| file.ends_with(".in")) {
            for part in text.split("vendor/anyport/docs/").skip(1) {
                let end = part.find(|one: char| !(one.is_alphanumeric() || "-.".contains(one)));
                let page = part[..end.unwrap_or(part.len())].trim_end_matches('.');
                let file = format!("vendor/anyport/docs/{page}");
                assert!(page.is_empty() || names.contains(&&*file), "no {file}");
                named += 1;
            }
        }
        assert!(named >= 2, "the template names no page");
    }

    #[test]
    fn nothing_is_written_over() {
        let folder = tempfile::tempdir().unwrap();
        let there = folder.path().join("there");
        std::fs::create_dir(&there).unwrap();
        std::fs::write(there.join("mine"), "precious").unwrap();
        let Err(Failure::Usage(text)) = write(&there, "x") else {
            panic!("it was written over");
        };
        assert!(text.contains("not empty"), "{text}");
        assert_eq!(std::fs::read_dir(&there).unwrap().count(), 1);

        let file = folder.path().join("file");
        std::fs::write(&file, "precious").unwrap();
        assert!(write(&file, "x").is_err());
        assert_eq!(std::fs::read_to_string(&file).unwrap(), "precious");

        let empty = folder.path().join("empty");
        std::fs::create_dir(&empty).unwrap();
        write(&empty, "x").unwrap();
        assert!(empty.join("vendor/anyport/wit/types.wit").exists());
        assert!(empty.join(".gitignore").exists());
        assert!(write(&empty, "x").is_err(), "not twice");
    }
}
