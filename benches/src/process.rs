//! Children of the load program, and what the kernel says of them.

use anyhow::Context;
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

/// A part that runs in a process of its own; killed when dropped.
pub struct Part {
    child: Child,
    /// What it printed when it was up.
    pub said: serde_json::Value,
}

impl Part {
    /// Starts this program again with other arguments and waits for the line of JSON that says it
    /// is up.
    pub fn start(arguments: &[&str]) -> anyhow::Result<Self> {
        let program = std::env::current_exe()?;
        let mut child = Command::new(program)
            .args(arguments)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .with_context(|| format!("`{}` does not start", arguments.join(" ")))?;
        let mut line = String::new();
        let output = child.stdout.take().context("it has an output")?;
        BufReader::new(output).read_line(&mut line)?;
        let said = serde_json::from_str(&line)
            .with_context(|| format!("`{}` said `{line}`", arguments.join(" ")))?;
        Ok(Self { child, said })
    }

    pub fn text(&self, name: &str) -> anyhow::Result<&str> {
        self.said[name]
            .as_str()
            .with_context(|| format!("it did not say `{name}`"))
    }

    /// User and system time since it began, of all threads that live. From the scheduler's own
    /// sums, which are in nanoseconds; `stat` counts in hundredths of a second.
    pub fn cpu(&self) -> anyhow::Result<Duration> {
        let mut sum = 0;
        for task in std::fs::read_dir(format!("/proc/{}/task", self.child.id()))? {
            let text = std::fs::read_to_string(task?.path().join("schedstat"));
            let ran = text
                .ok()
                .and_then(|text| text.split(' ').next()?.parse::<u64>().ok());
            sum += ran.unwrap_or_default();
        }
        Ok(Duration::from_nanos(sum))
    }

    /// Fields of a file in `/proc` that is `Name: number kB`, by name, in KiB.
    fn kib(&self, file: &str, names: &[&str]) -> anyhow::Result<u64> {
        let path = format!("/proc/{}/{file}", self.child.id());
        let text = std::fs::read_to_string(Path::new(&path))?;
        Ok(text
            .lines()
            .filter_map(|line| line.split_once(':'))
            .filter(|(name, _)| names.contains(name))
            .filter_map(|(_, rest)| rest.split_whitespace().next()?.parse::<u64>().ok())
            .sum())
    }

    /// Memory that is this process's own share.
    pub fn memory(&self) -> anyhow::Result<Memory> {
        Ok(Memory {
            rss_kib: self.kib("smaps_rollup", &["Rss"])?,
            pss_kib: self.kib("smaps_rollup", &["Pss"])?,
            page_tables_kib: self.kib("status", &["VmPTE"])?,
            maps: std::fs::read_to_string(format!("/proc/{}/maps", self.child.id()))?
                .lines()
                .count(),
        })
    }
}

#[derive(Clone, Copy, Debug)]
pub struct Memory {
    pub rss_kib: u64,
    pub pss_kib: u64,
    pub page_tables_kib: u64,
    pub maps: usize,
}

impl Drop for Part {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
