//! Help, completions and manual: of the whole binary, without a host.

use super::support::{binary, run};
use std::process::{Command, Stdio};
use tempfile::TempDir;

async fn anyport(arguments: &[&str]) -> super::support::Ran {
    let mut command = binary();
    command
        .args(arguments)
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    run(command, "").await.expect(0)
}

#[tokio::test]
async fn help_stands_under_headings() {
    let help = anyport(&["--help"]).await.out;
    for heading in ["Run a host:", "Use it:", "Administer it:", "Your shell:"] {
        assert!(help.contains(heading), "{help}");
    }
    assert!(
        !help.contains("Others:"),
        "a command is in no group: {help}"
    );
    assert!(!help.contains('\u{1b}'), "{help}");
    for command in ["accounts", "signin", "send", "listen", "keys", "admin"] {
        anyport(&[command, "--help"]).await;
    }
}

#[tokio::test]
async fn completions_are_ones_that_shells_take() {
    for shell in ["bash", "zsh", "fish", "elvish", "powershell"] {
        let script = anyport(&["completions", shell]).await.out;
        for word in ["signin", "forward-to"] {
            assert!(script.contains(word), "{shell} knows no {word}");
        }
    }
    let directory = TempDir::new().unwrap();
    let file = directory.path().join("anyport.bash");
    std::fs::write(&file, anyport(&["completions", "bash"]).await.out).unwrap();
    let checked = Command::new("bash").arg("-n").arg(&file).status();
    assert!(checked.unwrap().success());
    let complete = r#"source "$1"; COMP_WORDS=(anyport accounts st); COMP_CWORD=2
        _anyport anyport st accounts; echo "${COMPREPLY[@]}""#;
    let completed = Command::new("bash")
        .args(["-c", complete, "bash"])
        .arg(&file)
        .output()
        .unwrap();
    assert_eq!(
        String::from_utf8(completed.stdout).unwrap().trim(),
        "start stop status"
    );
}

#[tokio::test]
async fn there_is_a_manual() {
    let directory = TempDir::new().unwrap();
    anyport(&["man", "--out", directory.path().to_str().unwrap()]).await;
    let pages: Vec<String> = std::fs::read_dir(directory.path())
        .unwrap()
        .map(|page| page.unwrap().file_name().into_string().unwrap())
        .collect();
    for page in ["anyport.1", "anyport-signin.1", "anyport-accounts-create.1"] {
        assert!(pages.iter().any(|it| it == page), "{page}: {pages:?}");
    }
    assert!(anyport(&["man"]).await.out.starts_with(".ie"));
}
