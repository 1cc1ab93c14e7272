//! The first page of the help: commands under headings, by what one wants to do. Made from the
//! commands themselves, so that none is missing; one that no heading names stands at the end.

use clap::builder::{StyledStr, Styles};
use std::fmt::Write;

const GROUPS: [(&str, &[&str]); 5] = [
    (
        "Run a host",
        &["serve", "config", "doctor", "health", "simulator"],
    ),
    (
        "Use it",
        &[
            "accounts",
            "signin",
            "send",
            "messages",
            "events",
            "listen",
            "endpoints",
        ],
    ),
    (
        "Administer it",
        &["providers", "keys", "workspaces", "admin"],
    ),
    ("Look after its data", &["backup", "restore", "migrate"]),
    ("Your shell", &["completions", "man", "openapi", "help"]),
];

/// The same command line, whose help has headings.
pub fn grouped(command: clap::Command) -> clap::Command {
    let styles = command.get_styles().clone();
    let list = list(&command, &styles);
    let header = styles.get_header();
    command.help_template(format!(
        "{{about-with-newline}}\n{{usage-heading}} {{usage}}\n\n{list}{header}Options:{header:#}\n{{options}}{{after-help}}"
    ))
}

fn list(command: &clap::Command, styles: &Styles) -> String {
    let known: Vec<(String, StyledStr)> = command
        .get_subcommands()
        .filter(|it| !it.is_hide_set())
        .map(|it| {
            (
                it.get_name().to_owned(),
                it.get_about().cloned().unwrap_or_default(),
            )
        })
        .chain(std::iter::once((
            "help".to_owned(),
            StyledStr::from("This, or the help of a command"),
        )))
        .collect();
    let width = known.iter().map(|(name, _)| name.len()).max().unwrap_or(0);
    let (header, literal) = (styles.get_header(), styles.get_literal());
    let mut text = String::new();
    let mut group = |heading: &str, wanted: &dyn Fn(&str) -> bool| {
        let members: Vec<_> = known.iter().filter(|(name, _)| wanted(name)).collect();
        if members.is_empty() {
            return;
        }
        let _ = writeln!(text, "{header}{heading}:{header:#}");
        for (name, about) in members {
            let pad = " ".repeat(width - name.len());
            let about = about.to_string();
            let about = about
                .lines()
                .next()
                .unwrap_or_default()
                .trim_end_matches('.');
            let _ = writeln!(text, "  {literal}{name}{literal:#}{pad}  {about}");
        }
        let _ = writeln!(text);
    };
    for (heading, names) in GROUPS {
        group(heading, &|name| names.contains(&name));
    }
    let grouped = |name: &str| GROUPS.iter().any(|(_, names)| names.contains(&name));
    group("Others", &|name| !grouped(name));
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::Subcommand;

    fn root() -> clap::Command {
        let root = clap::Command::new("anyport").about("One port");
        grouped(
            crate::Command::augment_subcommands(root)
                .subcommand(clap::Command::new("serve").about("Run the host."))
                .subcommand(clap::Command::new("dance").about("New and in no group")),
        )
    }

    #[test]
    fn every_command_stands_under_a_heading() {
        let help = root().render_help().to_string();
        let places = |word: &str| help.find(word).unwrap_or_else(|| panic!("{word}: {help}"));
        assert!(places("Run a host:") < places("  serve "));
        assert!(places("  serve ") < places("Use it:"));
        assert!(places("Use it:") < places("  accounts "));
        assert!(places("Others:") < places("  dance "));
        assert!(help.contains("Run the host\n"), "{help}");
    }

    #[test]
    fn the_command_line_is_sound() {
        root().debug_assert();
    }

    /// One of the same name below would get the value of the one above.
    #[test]
    fn no_command_takes_the_name_of_a_global_option() {
        fn walk(command: &clap::Command, above: &[(String, Option<String>)]) {
            let mut globals = above.to_vec();
            for argument in command.get_arguments() {
                let (id, long) = (argument.get_id().to_string(), argument.get_long());
                for (known, other) in above {
                    assert_ne!(&id, known, "{}", command.get_name());
                    assert!(
                        long.is_none() || long != other.as_deref(),
                        "{}: {long:?}",
                        command.get_name()
                    );
                }
                if argument.is_global_set() {
                    globals.push((id, long.map(str::to_owned)));
                }
            }
            command.get_subcommands().for_each(|it| walk(it, &globals));
        }
        walk(
            &crate::Command::augment_subcommands(clap::Command::new("anyport")),
            &[],
        );
    }

    #[test]
    fn none_of_ours_is_forgotten() {
        let root = clap::Command::new("anyport");
        for command in crate::Command::augment_subcommands(root).get_subcommands() {
            let name = command.get_name();
            assert!(
                GROUPS.iter().any(|(_, names)| names.contains(&name)),
                "{name} is in no group"
            );
        }
    }
}
