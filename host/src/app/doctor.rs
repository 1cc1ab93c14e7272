//! `anyport doctor`: what is wrong with this installation, in plain words.
//!
//! Looks and changes nothing; works beside a running host and without one. Every finding says
//! what is so, why it matters and what to do about it.

mod clock;
mod database;
mod files;
mod limits;
mod reach;
mod sandbox;

use super::config::{Config, DoctorArgs, Problems};
use super::serve::{DONE, FAILED};
use serde::Serialize;
use std::fmt::Write as _;
use std::io::IsTerminal as _;

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Severity {
    Ok,
    /// Worth knowing.
    Note,
    /// It works, and may not for long or not for all.
    Warning,
    /// The host does not start, or loses what it is for.
    Problem,
}

#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Finding {
    /// What was looked at: `database`, `limits.files`.
    pub check: &'static str,
    pub severity: Severity,
    pub what: String,
    #[serde(skip_serializing_if = "str::is_empty")]
    pub why: &'static str,
    #[serde(skip_serializing_if = "String::is_empty")]
    pub todo: String,
}

impl Finding {
    pub fn ok(check: &'static str, what: impl Into<String>) -> Self {
        Self {
            check,
            severity: Severity::Ok,
            what: what.into(),
            why: "",
            todo: String::new(),
        }
    }

    pub fn note(check: &'static str, what: impl Into<String>) -> Self {
        Self {
            severity: Severity::Note,
            ..Self::ok(check, what)
        }
    }

    pub fn warning(
        check: &'static str,
        what: impl Into<String>,
        why: &'static str,
        todo: impl Into<String>,
    ) -> Self {
        Self {
            check,
            severity: Severity::Warning,
            what: what.into(),
            why,
            todo: todo.into(),
        }
    }

    pub fn problem(
        check: &'static str,
        what: impl Into<String>,
        why: &'static str,
        todo: impl Into<String>,
    ) -> Self {
        Self {
            severity: Severity::Problem,
            ..Self::warning(check, what, why, todo)
        }
    }
}

/// Prints what it found; exit code 1 if there is a problem among it.
pub fn run(args: &DoctorArgs) -> u8 {
    let findings = match Config::load(&args.serve) {
        Ok(config) => examine(&config),
        Err(problems) => misconfigured(&problems),
    };
    let worst = worst(&findings);
    if args.json {
        let report = serde_json::json!({"worst": worst, "findings": findings});
        println!("{report:#}");
    } else {
        print!("{}", text(&findings, std::io::stdout().is_terminal()));
    }
    if worst == Severity::Problem {
        FAILED
    } else {
        DONE
    }
}

pub fn worst(findings: &[Finding]) -> Severity {
    let severities = findings.iter().map(|finding| finding.severity);
    severities.max().unwrap_or(Severity::Ok)
}

fn misconfigured(problems: &Problems) -> Vec<Finding> {
    let each = problems.list().iter().map(|problem| {
        Finding::problem(
            "configuration",
            problem.clone(),
            "the host refuses to start with it",
            "correct it; `anyport config check` looks again, `anyport config default` shows every setting",
        )
    });
    each.collect()
}

/// Everything, in the order in which it should be put right.
pub fn examine(config: &Config) -> Vec<Finding> {
    let mut findings = vec![if config.trial {
        Finding::note(
            "configuration",
            "nothing is configured: this is a trial, on loopback, with the simulator channel",
        )
    } else {
        Finding::ok("configuration", "it is right")
    }];
    findings.extend(files::examine(config));
    let (database, newest_event_at) = database::examine(config);
    findings.extend(database);
    findings.extend(limits::examine(config));
    findings.extend(clock::examine(newest_event_at));
    findings.extend(reach::examine(config));
    findings.extend(sandbox::examine());
    findings
}

fn text(findings: &[Finding], colours: bool) -> String {
    let mut text = String::new();
    for finding in findings {
        let (word, colour) = match finding.severity {
            Severity::Ok => ("ok", "32"),
            Severity::Note => ("note", "36"),
            Severity::Warning => ("warning", "33"),
            Severity::Problem => ("PROBLEM", "31"),
        };
        let word = if colours {
            format!("\x1b[{colour}m{word:<8}\x1b[0m")
        } else {
            format!("{word:<8}")
        };
        let _ = writeln!(text, "{word} {}: {}", finding.check, finding.what);
        if !finding.why.is_empty() {
            let _ = writeln!(text, "         {}", finding.why);
        }
        if !finding.todo.is_empty() {
            let _ = writeln!(text, "         -> {}", finding.todo);
        }
    }
    let count = |severity| {
        let of = findings
            .iter()
            .filter(|finding| finding.severity == severity);
        of.count()
    };
    let _ = writeln!(
        text,
        "\n{} looked at: {} problems, {} warnings",
        findings.len(),
        count(Severity::Problem),
        count(Severity::Warning)
    );
    text
}
