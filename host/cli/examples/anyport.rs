//! These commands without the host's own, which builds in seconds: for working on them.

use clap::{CommandFactory, Parser};

#[derive(Parser)]
#[command(name = "anyport", version)]
struct Cli {
    #[command(subcommand)]
    command: anyport_cli::Command,
}

/// Here is no runtime to look at components with.
struct Nothing;

impl anyport_cli::Workshop for Nothing {
    fn check(&self, _: &[u8]) -> anyport_cli::Report {
        let mut report = anyport_cli::Report::default();
        report.problem(
            "runtime",
            "this binary has none",
            "use the host's own `anyport`",
        );
        report
    }

    fn test(&self, component: &[u8], _: Option<&str>) -> anyport_cli::Report {
        self.check(component)
    }
}

fn main() -> std::process::ExitCode {
    let cli = Cli::parse();
    let root = Cli::command();
    anyport_cli::run(&cli.command, root, &Nothing)
}
