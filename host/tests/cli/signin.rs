//! Signing in: at a terminal, by lines of standard input, and as programs do it.

use super::support::{Host, Terminal};

async fn made(host: &Host, user: &str, mode: &str) -> String {
    let set = format!("user={user}");
    let made = host
        .run(&[
            "accounts",
            "create",
            "simulator",
            "--name",
            user,
            "--auth-mode",
            mode,
            "--set",
            &set,
            "--json",
        ])
        .await
        .expect(0)
        .json();
    made["data"]["id"].as_str().unwrap().to_owned()
}

async fn status(host: &Host, account: &str) -> String {
    let shown = host
        .run(&["accounts", "show", account, "--json"])
        .await
        .expect(0)
        .json();
    shown["data"]["auth_status"].as_str().unwrap().to_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn at_a_terminal() {
    let host = Host::start().await;

    // By code: a wrong one is said to be, and asked for again.
    made(&host, "code", "code").await;
    let mut terminal = Terminal::start(host.anyport(&["signin", "code"]));
    terminal.wait_for("Code (the code is 123456): ").await;
    terminal.type_line("000000");
    terminal.wait_for("not the code").await;
    terminal.type_line("123456");
    assert_eq!(terminal.end().await, 0, "{}", terminal.shown());
    assert!(
        terminal.shown().contains("is signed in as"),
        "{}",
        terminal.shown()
    );

    // By QR code: black on white whatever the theme, and done when it was scanned.
    made(&host, "qr", "qrcode").await;
    let mut terminal = Terminal::start(host.anyport(&["signin", "qr"]));
    terminal.wait_for("\u{1b}[38;5;16;48;5;231m").await;
    assert_eq!(terminal.end().await, 0, "{}", terminal.shown());
    let shown = terminal.shown();
    assert!(
        shown.contains('▀') && shown.contains("good until") && shown.contains("is signed in"),
        "{shown}"
    );

    // By password, of which the terminal shows nothing.
    made(&host, "password", "password").await;
    let mut terminal = Terminal::start(host.anyport(&["signin", "password"]));
    terminal.wait_for("Password").await;
    terminal.type_line("marker-of-a-password");
    assert_eq!(terminal.end().await, 0, "{}", terminal.shown());
    assert!(!terminal.shown().contains("marker"), "{}", terminal.shown());

    // Given up: no flow is left, and the account is as it was.
    made(&host, "gone", "code").await;
    let mut terminal = Terminal::start(host.anyport(&["signin", "gone"]));
    terminal.wait_for("Code").await;
    terminal.interrupt();
    assert_eq!(terminal.end().await, 130, "{}", terminal.shown());
    assert!(
        terminal.shown().contains("was cancelled"),
        "{}",
        terminal.shown()
    );
    assert_eq!(status(&host, "gone").await, "pending_auth");

    // Neither is one that runs out of answers; who is signed in stays so.
    host.run(&["signin", "gone"]).await.expect(2);
    assert_eq!(status(&host, "gone").await, "pending_auth");
    host.run(&["signin", "code"]).await.expect(3);
    assert_eq!(status(&host, "code").await, "authorized");
}

#[tokio::test(flavor = "multi_thread")]
async fn by_programs() {
    let host = Host::start().await;

    // Answers as JSON, one line for each time that something is asked.
    made(&host, "lines", "code").await;
    let answers = "{\"code\": \"000000\"}\n{\"code\": \"123456\"}\n";
    let ran = host
        .run_with(&["signin", "lines", "--json"], answers)
        .await
        .expect(0);
    let states: Vec<String> = ran
        .lines()
        .iter()
        .map(|line| line["data"]["status"].as_str().unwrap().to_owned())
        .collect();
    assert_eq!(states, ["awaiting_code", "awaiting_code", "authorized"]);

    // Answers given beforehand.
    made(&host, "given", "code").await;
    let ran = host
        .run(&["signin", "given", "--json", "--answer", "code=123456"])
        .await
        .expect(0);
    assert_eq!(ran.lines().last().unwrap()["data"]["status"], "authorized");

    // A QR code: the program draws it.
    made(&host, "drawn", "code").await;
    let ran = host
        .run(&["signin", "drawn", "--method", "qr", "--json"])
        .await
        .expect(0);
    let lines = ran.lines();
    assert!(
        lines[0]["data"]["auth_payload"]["qr_code"].is_string(),
        "{lines:?}"
    );
    assert_eq!(lines.last().unwrap()["data"]["status"], "authorized");

    // A session that is none: failed, and says why.
    made(&host, "session", "session").await;
    let ran = host
        .run_with(
            &["signin", "session", "--session", "-", "--json"],
            "no session",
        )
        .await;
    assert!([3, 5].contains(&ran.code), "{ran:?}");
    assert!(ran.error()["message"].is_string());
}
