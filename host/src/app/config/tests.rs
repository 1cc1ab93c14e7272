#![allow(clippy::unwrap_used)]

use super::layers::{DEFAULT, names};
use super::reading::variable_of;
use super::*;
use std::path::Path;

fn file(text: &str) -> (tempfile::TempDir, ServeArgs) {
    let directory = tempfile::TempDir::new().unwrap();
    let path = directory.path().join("anyport.toml");
    std::fs::write(&path, text).unwrap();
    let args = ServeArgs {
        config: Some(path),
        ..ServeArgs::default()
    };
    (directory, args)
}

fn with(args: &ServeArgs, variables: &[(&str, &str)]) -> Result<(Config, Layers), Problems> {
    let own = |(name, value): &(&str, &str)| ((*name).to_owned(), (*value).to_owned());
    Config::load_from(args, variables.iter().map(own))
}

fn wrong(args: &ServeArgs, variables: &[(&str, &str)]) -> String {
    with(args, variables).unwrap_err().to_string()
}

/// Every field has a line in the file, with a default or an example, and the other way round.
#[test]
fn the_file_of_defaults_is_whole() {
    let mut fields = Vec::new();
    let whole = serde_json::to_value(Config::default()).unwrap();
    fn collect(name: &str, value: &serde_json::Value, into: &mut Vec<String>) {
        match value {
            serde_json::Value::Object(keys) => {
                for (key, value) in keys {
                    let dot = if name.is_empty() { "" } else { "." };
                    collect(&format!("{name}{dot}{key}"), value, into);
                }
            }
            _ => into.push(name.to_owned()),
        }
    }
    collect("", &whole, &mut fields);
    fields.sort();
    assert_eq!(fields, names());
    // The examples are right, too.
    let text: String = DEFAULT
        .lines()
        .map(|line| match line.strip_prefix('#') {
            Some(bare) if bare.starts_with(|first: char| first.is_ascii_lowercase()) => {
                format!("{bare}\n")
            }
            _ => format!("{line}\n"),
        })
        .collect();
    let (_directory, args) = file(&text);
    with(&args, &[]).unwrap();
}

#[test]
fn later_layers_win_and_are_named() {
    let (_directory, mut args) = file(
        "listen = \"127.0.0.1:1\"\n\n[runtime]\nguest_threads = 2\nsend_deadline_s = 7\n\
         [network]\nallow = [\"10.0.0.0/8\"]\n[provider.irc]\nserver = \"irc.example.org\"\n",
    );
    args.listen = Some("127.0.0.1:3".parse().unwrap());
    args.allow = vec!["10.2.0.0/16".parse().unwrap()];
    args.set = vec!["log.format=json".into()];
    let (config, layers) = with(
        &args,
        &[
            ("ANYPORT_LISTEN", "127.0.0.1:2"),
            ("ANYPORT_RUNTIME__GUEST_THREADS", "4"),
            ("ANYPORT_ALLOW", "192.168.1.0/24, fd00::/8"),
            ("ANYPORT_PROVIDER__IRC__PORT", "6697"),
            ("ANYPORT_LOG", "debug"),
            ("ANYPORT_CONFIG", "read before"),
            ("PATH", "/bin"),
        ],
    )
    .unwrap();
    assert_eq!(config.listen.port(), 3);
    assert_eq!(config.runtime.guest_threads, Some(4));
    assert_eq!(config.runtime.send_deadline_s, 7);
    assert_eq!(config.runtime.max_instances, 12_000);
    assert_eq!(config.log.format, LogFormat::Json);
    assert_eq!(config.provider["irc"]["server"], "irc.example.org");
    assert_eq!(config.provider["irc"]["port"], 6697);
    let allow: Vec<_> = config
        .network
        .allow
        .iter()
        .map(ToString::to_string)
        .collect();
    assert_eq!(
        allow,
        ["10.0.0.0/8", "192.168.1.0/24", "fd00::/8", "10.2.0.0/16"]
    );
    assert!(!config.trial);

    let path = args.config.as_deref().map(Path::display).unwrap();
    let from = |name: &str| {
        let sources = &layers.setting(name).unwrap().sources;
        let all: Vec<_> = sources.iter().map(ToString::to_string).collect();
        all.join(" + ")
    };
    assert_eq!(from("listen"), "flag --listen");
    assert_eq!(from("data"), "default");
    assert_eq!(from("runtime.send_deadline_s"), format!("{path} line 5"));
    assert_eq!(
        from("runtime.guest_threads"),
        "environment ANYPORT_RUNTIME__GUEST_THREADS"
    );
    assert_eq!(
        from("network.allow"),
        format!("{path} line 7 + environment ANYPORT_ALLOW + flag --allow")
    );
    assert_eq!(from("log.format"), "flag --set");
}

#[test]
fn unknown_keys_are_refused_with_the_nearest_name() {
    let (_directory, args) =
        file("listn = \"127.0.0.1:1\"\nguest_threads = 2\nzzz = 1\n[runtime]\nmax_instance = 3\n");
    let text = wrong(&args, &[("ANYPORT_RUNTIME__GUEST_THREAD", "2")]);
    for part in [
        "listn: there is no such setting",
        "anyport.toml line 1); did you mean listen?",
        "guest_threads: there is no such setting",
        "line 2); did you mean runtime.guest_threads?",
        "line 5); did you mean runtime.max_instances?",
        "ANYPORT_RUNTIME__GUEST_THREAD: there is no such setting; did you mean \
         ANYPORT_RUNTIME__GUEST_THREADS?",
    ] {
        assert!(text.contains(part), "{part}\n{text}");
    }
    let of_zzz = text.lines().find(|line| line.contains("zzz")).unwrap();
    assert!(of_zzz.ends_with("line 3)"), "{of_zzz}");
}

#[test]
fn wrong_values_are_named_with_place_and_rule_and_not_shown() {
    let (_directory, args) = file(
        "[runtime]\nmax_instances = \"sesame\"\n[otlp]\nheaders = 5\n[network]\nextra_ca = \"x\"\n",
    );
    let text = wrong(&args, &[("ANYPORT_WEBHOOKS__FLAT_MIRRORS", "sesame")]);
    assert!(!text.contains("sesame"), "{text}");
    for part in [
        "runtime.max_instances: must be a whole number (",
        "anyport.toml line 2)",
        "otlp.headers: must be a text (",
        "network.extra_ca: must be a list (",
        "webhooks.flat_mirrors: must be true or false (environment ANYPORT_WEBHOOKS__FLAT_MIRRORS)",
    ] {
        assert!(text.contains(part), "{part}\n{text}");
    }
    for (name, value, part) in [
        (
            "listen",
            "everywhere",
            "listen: invalid socket address syntax; for example \"127.0.0.1:8080\" (environment ANYPORT_LISTEN)",
        ),
        ("network.allow", "10.0.0.0/33", "network.allow: "),
        ("runtime.max_instances", "-1", "runtime.max_instances: "),
        (
            "runtime.max_instances",
            "0",
            "must be at least 1 (environment",
        ),
        ("runtime.guest_threads", "0", "must be 1 to 1024"),
        (
            "log.format",
            "xml",
            "log.format: must be `pretty` or `json`",
        ),
        ("log.level", "a=b=c", "log.level: must be a filter"),
        (
            "otlp.endpoint",
            "collector:4318",
            "must be an http:// or https:// URL",
        ),
        ("otlp.headers", "Bearer sesame", "must be name=value"),
        ("otlp.sample_ratio", "2", "must be 0 to 1"),
        ("shutdown.within_s", "1", "must be 5 to 3600"),
        (
            "database",
            "mysql://me:sesame@db/anyport",
            "database: it is not of the form postgres://",
        ),
        (
            "database",
            "postgres://me:sesame@db",
            "it names no database",
        ),
    ] {
        let text = wrong(&ServeArgs::default(), &[(&variable_of(name), value)]);
        assert!(text.contains(part), "{name}={value}: {text}");
        assert!(!text.contains("sesame"), "{text}");
    }
    let (_directory, args) = file("listen = \n");
    assert!(wrong(&args, &[]).contains("anyport.toml line 1: "));
    // The parser's own text would quote the line.
    let (_directory, args) = file("\ndatabase = \"postgres://me:sesame@db/x\" oops\n");
    let text = wrong(&args, &[]);
    assert!(
        text.contains("line 2") && !text.contains("sesame"),
        "{text}"
    );
    let absent = ServeArgs {
        config: Some("/nowhere/anyport.toml".into()),
        ..ServeArgs::default()
    };
    assert!(wrong(&absent, &[]).contains("/nowhere/anyport.toml cannot be read"));
}

#[test]
fn a_trial_stays_on_loopback() {
    let listen = ("ANYPORT_LISTEN", "0.0.0.0:80");
    let text = wrong(&ServeArgs::default(), &[listen]);
    assert!(text.contains("loopback only"), "{text}");
    let (config, _) = with(
        &ServeArgs::default(),
        &[listen, ("ANYPORT_ALLOW", "10.0.0.0/8")],
    )
    .unwrap();
    assert!(!config.trial);

    let trial =
        |variables: &[(&str, &str)]| with(&ServeArgs::default(), variables).unwrap().0.trial;
    assert!(trial(&[]));
    assert!(trial(&[
        ("ANYPORT_DATA", "/x"),
        ("ANYPORT_LOG__FORMAT", "json"),
        ("ANYPORT_LISTEN", "127.0.0.1:9")
    ]));
    assert!(!trial(&[("ANYPORT_RUNTIME__GUEST_THREADS", "2")]));
    let (_directory, args) = file("");
    assert!(
        !with(&args, &[]).unwrap().0.trial,
        "a file, even an empty one"
    );
}

#[test]
fn what_is_shown_has_sources_and_no_secrets() {
    let (_directory, args) = file(
        "database = \"postgres://me:sesame@db/anyport\"\n[otlp]\nheaders = \"authorization=sesame\"\n[provider.irc]\nserver = \"sesame\"\n",
    );
    let (config, layers) = with(&args, &[("ANYPORT_LOG", "debug")]).unwrap();
    let rows = show::rows(&config, &layers).unwrap();
    let row = |key: &str| rows.iter().find(|row| row.key == key).unwrap();
    assert_eq!(row("otlp.headers").value, "(set)");
    assert_eq!(row("provider.irc.server").value, "(set)");
    assert_eq!(row("database").value, "(set)");
    assert_eq!(row("log.level").value, "debug");
    assert_eq!(row("log.level").source, "environment ANYPORT_LOG");
    assert_eq!(row("metrics.listen").value, serde_json::Value::Null);
    let json = serde_json::to_string(&rows).unwrap();
    let all = format!("{json}{}{config:?}", show::text(&rows, false));
    assert!(!all.contains("sesame"), "{all}");
    let printed: toml::Table = toml::from_str(&show::text(&rows, false)).unwrap();
    assert_eq!(printed["log"]["level"].as_str(), Some("debug"));
}
