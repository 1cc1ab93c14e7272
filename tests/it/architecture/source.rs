//! Enough of Rust's grammar to see who names whom: tokens with their lines, without what is
//! compiled for tests only, and the paths in them.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    Word,
    /// Of a string: what stands between the quotes.
    Text,
    Comment,
    Sign,
}

#[derive(Clone, Debug)]
pub struct Token {
    pub kind: Kind,
    pub text: String,
    pub line: usize,
}

impl Token {
    fn is(&self, sign: &str) -> bool {
        self.kind != Kind::Text && self.kind != Kind::Comment && self.text == sign
    }
}

/// A file that is compiled into the product.
pub struct File {
    /// Below the source directory.
    pub path: PathBuf,
    /// `api`, `v1`, `messages`; nothing for `lib.rs` and `main.rs`.
    pub module: Vec<String>,
    pub tokens: Vec<Token>,
}

/// Every file below `root` that is not for tests only.
pub fn files(root: &Path) -> Vec<File> {
    let mut paths = Vec::new();
    collect(root, &mut paths);
    paths.sort();
    let mut for_tests = BTreeSet::new();
    let mut files = Vec::new();
    for path in paths {
        let text = std::fs::read_to_string(&path).unwrap();
        let (tokens, modules) = without_tests(tokens(&text));
        let directory = match path.file_stem().and_then(|stem| stem.to_str()) {
            Some("mod" | "lib" | "main") => path.parent().unwrap().to_owned(),
            _ => path.with_extension(""),
        };
        for name in modules {
            // As `#[path]` has it, or where modules stand.
            for file in [
                path.parent().unwrap().join(&name),
                directory.join(format!("{name}.rs")),
                directory.join(&name),
            ] {
                for_tests.insert(file);
            }
        }
        let below = path.strip_prefix(root).unwrap().to_owned();
        files.push(File {
            module: module(&below),
            path: below,
            tokens,
        });
    }
    files.retain(|file| {
        let path = root.join(&file.path);
        !path.ancestors().any(|path| for_tests.contains(path))
    });
    files
}

fn collect(directory: &Path, paths: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(directory).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            collect(&path, paths);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            paths.push(path);
        }
    }
}

fn module(path: &Path) -> Vec<String> {
    let path = path.with_extension("");
    let mut names: Vec<String> = path
        .iter()
        .map(|name| name.to_str().unwrap().to_owned())
        .collect();
    if names
        .last()
        .is_some_and(|name| ["mod", "lib", "main"].contains(&name.as_str()))
    {
        names.pop();
    }
    names
}

pub fn tokens(text: &str) -> Vec<Token> {
    let mut tokens = Vec::new();
    let mut line = 1;
    let mut rest = text;
    while let Some(first) = rest.chars().next() {
        let (kind, length) = next(rest, first);
        let (taken, left) = rest.split_at(length);
        if let Some(kind) = kind {
            let text = match kind {
                Kind::Text => taken
                    .trim_start_matches(['b', 'c', 'r', '#'])
                    .trim_end_matches('#')
                    .trim_matches('"'),
                _ => taken,
            };
            tokens.push(Token {
                kind,
                text: text.to_owned(),
                line,
            });
        }
        line += taken.matches('\n').count();
        rest = left;
    }
    tokens
}

/// What stands at the beginning, and how long it is; none: white space, numbers, characters.
fn next(rest: &str, first: char) -> (Option<Kind>, usize) {
    let end = |found: Option<usize>| found.unwrap_or(rest.len());
    if rest.starts_with("//") {
        return (Some(Kind::Comment), end(rest.find('\n')));
    }
    if rest.starts_with("/*") {
        return (Some(Kind::Comment), end(rest.find("*/").map(|at| at + 2)));
    }
    if let Some(length) = string(rest) {
        return (Some(Kind::Text), length);
    }
    if first == '\'' {
        return (None, character(rest));
    }
    let word = rest
        .find(|character: char| !character.is_alphanumeric() && character != '_')
        .unwrap_or(rest.len());
    if word > 0 {
        let kind = (!first.is_numeric()).then_some(Kind::Word);
        return (kind, word);
    }
    let kind = (!first.is_whitespace()).then_some(Kind::Sign);
    (kind, first.len_utf8())
}

/// The length of the string literal at the beginning, if there is one.
fn string(rest: &str) -> Option<usize> {
    let prefix = ["br", "cr", "b", "c", "r", ""].into_iter().find(|prefix| {
        let after = rest.strip_prefix(prefix);
        after.is_some_and(|after| {
            after.starts_with('"')
                || (prefix.ends_with('r') && after.trim_start_matches('#').starts_with('"'))
        })
    })?;
    let body = &rest[prefix.len()..];
    let hashes = body.len() - body.trim_start_matches('#').len();
    if prefix.ends_with('r') {
        let close = format!("\"{}", "#".repeat(hashes));
        let begin = hashes + 1;
        let at = body[begin..].find(&close).unwrap_or(body.len() - begin);
        return Some(prefix.len() + begin + at + close.len());
    }
    let mut escaped = false;
    for (at, character) in body.char_indices().skip(1) {
        match character {
            _ if escaped => escaped = false,
            '\\' => escaped = true,
            '"' => return Some(prefix.len() + at + 1),
            _ => {}
        }
    }
    Some(rest.len())
}

/// The length of the character literal at the beginning, or of a lifetime's quote.
fn character(rest: &str) -> usize {
    let mut characters = rest.char_indices().skip(1);
    match (characters.next(), characters.next()) {
        (Some((_, '\\')), Some((at, escaped))) => {
            let from = at + escaped.len_utf8();
            rest[from..].find('\'').map_or(1, |close| from + close + 1)
        }
        (Some(_), Some((at, '\''))) => at + 1,
        _ => 1,
    }
}

/// Takes out every item under `#[cfg(test)]`; also gives the names (or `#[path]`s) of the
/// modules among them that stand in files of their own.
fn without_tests(tokens: Vec<Token>) -> (Vec<Token>, Vec<String>) {
    let mut kept = Vec::new();
    let mut modules = Vec::new();
    let mut at = 0;
    while at < tokens.len() {
        let Some(after) = cfg_test(&tokens, at) else {
            kept.push(tokens[at].clone());
            at += 1;
            continue;
        };
        let end = item(&tokens, after);
        let item = &tokens[after..end];
        if item.last().is_some_and(|token| token.is(";"))
            && let Some(named) = item.iter().position(|token| token.is("mod"))
        {
            modules.push(item[named + 1].text.clone());
            let path = item.iter().position(|token| token.is("path"));
            let file = path.and_then(|at| item[at..].iter().find(|token| token.kind == Kind::Text));
            modules.extend(file.map(|file| file.text.clone()));
        }
        at = end;
    }
    (kept, modules)
}

/// Where the attribute ends, if a `#[cfg(test)]` begins here.
fn cfg_test(tokens: &[Token], at: usize) -> Option<usize> {
    let begins = ["#", "[", "cfg", "("];
    let here = tokens.get(at..at + begins.len())?;
    if !here.iter().zip(begins).all(|(token, sign)| token.is(sign)) {
        return None;
    }
    let end = at + tokens[at..].iter().position(|token| token.is("]"))?;
    let condition = &tokens[at..end];
    let names = |name: &str| condition.iter().any(|token| token.is(name));
    (names("test") && !names("not") && !names("any")).then_some(end + 1)
}

/// Where the item ends that begins here: after its block, or its semicolon.
fn item(tokens: &[Token], from: usize) -> usize {
    let mut depth = 0_i32;
    for (at, token) in tokens.iter().enumerate().skip(from) {
        if ["{", "(", "["].iter().any(|sign| token.is(sign)) {
            depth += 1;
        } else if ["}", ")", "]"].iter().any(|sign| token.is(sign)) {
            depth -= 1;
            if depth == 0 && token.is("}") {
                return at + 1;
            }
        } else if depth == 0 && token.is(";") {
            return at + 1;
        }
    }
    tokens.len()
}

/// A path with at least two parts, as it is written.
#[derive(Debug, PartialEq)]
pub struct Reference {
    pub path: Vec<String>,
    pub line: usize,
}

/// All paths, those of a `use` with groups one by one. Paths from `crate` and `super` come as
/// they are seen from the root, with `crate` first.
pub fn references(file: &File) -> Vec<Reference> {
    let tokens: Vec<&Token> = file
        .tokens
        .iter()
        .filter(|token| token.kind == Kind::Word || token.kind == Kind::Sign)
        .collect();
    let mut found = Vec::new();
    let mut at = 0;
    while at < tokens.len() {
        let begins = tokens[at].kind == Kind::Word && separator(&tokens, at + 1);
        if begins {
            at = tree(&tokens, at, &[], &mut found);
        } else {
            at += 1;
        }
    }
    for reference in &mut found {
        from_root(&mut reference.path, &file.module);
    }
    found
}

fn separator(tokens: &[&Token], at: usize) -> bool {
    tokens.get(at).is_some_and(|token| token.is(":"))
        && tokens.get(at + 1).is_some_and(|token| token.is(":"))
}

/// Reads a path or the tree of a `use`; gives where it ends.
fn tree(tokens: &[&Token], mut at: usize, before: &[String], found: &mut Vec<Reference>) -> usize {
    let mut path = before.to_vec();
    let line = tokens.get(at).map_or(0, |token| token.line);
    while let Some(token) = tokens.get(at).filter(|token| token.kind == Kind::Word) {
        path.push(token.text.clone());
        at += 1;
        if !separator(tokens, at) {
            break;
        }
        at += 2;
        if tokens.get(at).is_some_and(|token| token.is("{")) {
            at += 1;
            while tokens.get(at).is_some_and(|token| !token.is("}")) {
                let next = tree(tokens, at, &path, found);
                // `,`, `*`, or something that is no path.
                at = if next == at { at + 1 } else { next };
            }
            return at + 1;
        }
    }
    if path.len() > before.len().max(1) {
        found.push(Reference { path, line });
    }
    at
}

fn from_root(path: &mut Vec<String>, module: &[String]) {
    let up = path.iter().take_while(|name| *name == "super").count();
    if up > 0 {
        let base = &module[..module.len().saturating_sub(up)];
        let whole = ["crate".to_owned()]
            .iter()
            .chain(base)
            .chain(&path[up..])
            .cloned()
            .collect();
        *path = whole;
    }
}
