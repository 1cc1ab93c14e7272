//! `anyport providers check` and `test`: a component on this machine, without a host that runs.

use crate::failure::{Failure, Outcome};
use crate::output::{Output, Tone};
use crate::text::printable;
use crate::workshop::{Finding, Report, Severity, Workshop};
use clap::Args;
use serde_json::json;
use std::path::{Path, PathBuf};

#[derive(Args, Debug)]
pub struct Check {
    /// The component (.wasm)
    file: PathBuf,
}

#[derive(Args, Debug)]
pub struct Test {
    /// The component (.wasm)
    file: PathBuf,
    /// What happens to the account, in order; `anyport providers new` writes an example
    #[arg(long, value_name = "FILE")]
    script: Option<PathBuf>,
}

impl Check {
    pub fn run(&self, output: &Output, workshop: &dyn Workshop) -> Outcome {
        let component = read(&self.file)?;
        show(output, &self.file, &workshop.check(&component))
    }
}

impl Test {
    pub fn run(&self, output: &Output, workshop: &dyn Workshop) -> Outcome {
        let component = read(&self.file)?;
        let script = match &self.script {
            Some(path) => Some(String::from_utf8(read(path)?).map_err(|_| {
                Failure::usage(format!(
                    "{}: a script is TOML, which is UTF-8",
                    path.display()
                ))
            })?),
            None => None,
        };
        let report = workshop.test(&component, script.as_deref());
        show(output, &self.file, &report)
    }
}

fn read(path: &Path) -> Outcome<Vec<u8>> {
    std::fs::read(path)
        .map_err(|error| Failure::local(format!("{} cannot be read: {error}", path.display())))
}

fn show(output: &Output, file: &Path, report: &Report) -> Outcome {
    if output.json() {
        let document = json!({
            "worst": report.worst(),
            "provider": report.provider,
            "findings": report.findings,
        });
        output.line(&format!("{document:#}"))?;
    } else {
        for finding in &report.findings {
            show_one(output, finding)?;
        }
    }
    match report.problems() {
        0 => Ok(()),
        1 => Err(Failure::Failed(format!("{}: 1 problem", file.display()))),
        count => Err(Failure::Failed(format!(
            "{}: {count} problems",
            file.display()
        ))),
    }
}

fn show_one(output: &Output, finding: &Finding) -> Outcome {
    let (word, tone) = match finding.severity {
        Severity::Ok => ("ok", Tone::Good),
        Severity::Note => ("note", Tone::Faint),
        Severity::Warning => ("warning", Tone::Warning),
        Severity::Problem => ("PROBLEM", Tone::Bad),
    };
    let word = output.paint(tone, &format!("{word:<8}"));
    output.line(&format!(
        "{word} {}: {}",
        finding.check,
        printable(&finding.what)
    ))?;
    if !finding.todo.is_empty() {
        output.line(&format!("         -> {}", printable(&finding.todo)))?;
    }
    Ok(())
}
