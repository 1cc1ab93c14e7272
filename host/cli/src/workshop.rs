//! The door to what only the host's own process can do for authors of providers: it has the
//! runtime, these commands ask and show.

use serde::Serialize;
use serde_json::Value;

pub trait Workshop {
    /// Would a host take these bytes, and if not, why?
    fn check(&self, component: &[u8]) -> Report;
    /// Runs them as a host does. `script`: what happens to the account (TOML); without, it is
    /// only started.
    fn test(&self, component: &[u8], script: Option<&str>) -> Report;
}

/// What was looked at.
#[derive(Debug, Default, Serialize)]
pub struct Report {
    /// What the component says it is; null if that cannot be read.
    pub provider: Value,
    pub findings: Vec<Finding>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Severity {
    Ok,
    /// Worth knowing.
    Note,
    /// A host takes it, and it may not do what is meant.
    Warning,
    /// A host refuses it, or it breaks the contract.
    Problem,
}

#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Finding {
    /// What was looked at: `manifest`, `imports`, `replay`.
    pub check: &'static str,
    pub severity: Severity,
    pub what: String,
    /// How to mend it.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub todo: String,
}

impl Report {
    pub fn add(
        &mut self,
        check: &'static str,
        severity: Severity,
        what: impl Into<String>,
        todo: impl Into<String>,
    ) {
        self.findings.push(Finding {
            check,
            severity,
            what: what.into(),
            todo: todo.into(),
        });
    }

    pub fn ok(&mut self, check: &'static str, what: impl Into<String>) {
        self.add(check, Severity::Ok, what, "");
    }

    pub fn problem(
        &mut self,
        check: &'static str,
        what: impl Into<String>,
        todo: impl Into<String>,
    ) {
        self.add(check, Severity::Problem, what, todo);
    }

    pub fn problems(&self) -> usize {
        let is = |finding: &&Finding| finding.severity == Severity::Problem;
        self.findings.iter().filter(is).count()
    }

    pub fn worst(&self) -> Severity {
        let severities = self.findings.iter().map(|finding| finding.severity);
        severities.max().unwrap_or(Severity::Ok)
    }
}
