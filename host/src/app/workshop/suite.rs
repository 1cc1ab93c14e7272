//! `anyport providers test`: the promises of the contract, held against one component with the
//! runtime that a host has. What failed is said in plain words, with the step at which it did.

use super::check::check;
use super::play::{Played, Policy, Seen, Stopped, play};
use super::script::Script;
use crate::domain::SecretBytes;
use crate::domain::manifest::Resume;
use crate::runtime::{Fault, FaultKind, Provider};
use crate::supervisor::{control, schema};
use anyport_cli::{Report, Severity};
use serde_json::Value;
use std::collections::BTreeSet;

const FORGETS: &str = "the snapshot misses something that the instance knew";
/// So many turns are lost, one after the other; of a longer script, every so-manieth.
const LOST_TURNS: usize = 200;
const SNAPSHOT_BYTES: usize = 256 * 1024;

pub fn test(component: &[u8], script: Option<&str>) -> Report {
    let (mut report, provider) = check(component);
    let Some(provider) = provider else {
        return report;
    };
    let given = script.is_some();
    let script = match script.map(Script::parse).transpose() {
        Ok(script) => script.unwrap_or_else(Script::empty),
        Err(error) => {
            report.problem(
                "script",
                error,
                "vendor/anyport/docs/adding-a-provider.md has what stands in a script",
            );
            return report;
        }
    };
    let (config, secrets) = match account(&provider, &script) {
        Ok(account) => account,
        Err(rule) if given => {
            report.problem("script", rule, "correct `[config]` of the script");
            return report;
        }
        Err(rule) => {
            report.add(
                "start",
                Severity::Warning,
                format!("it was not started: an account needs a configuration ({rule})"),
                "give one by --script FILE; `anyport providers new` writes an example",
            );
            return report;
        }
    };
    let run = |policy| play(&provider, &script, &config, &secrets, policy);
    let straight = match run(Policy::Straight) {
        Ok(straight) => straight,
        Err(stopped) => {
            report_stopped(&mut report, "script", "", stopped);
            return report;
        }
    };
    report.ok("script", told(&straight));
    unanswered(&mut report, straight.requests);
    hand_over(&mut report, &provider, &straight, run(Policy::HandOver));
    replay(&mut report, &provider, &straight, run);
    match run(Policy::Garbage) {
        Ok(_) => report.ok(
            "garbage",
            "frames that are empty, cut off or no text cost no turn",
        ),
        Err(stopped) => report_stopped(&mut report, "garbage", "", stopped),
    }
    limits(&mut report, &provider, &straight);
    report
}

impl Script {
    fn empty() -> Self {
        Self {
            config: Value::Object(serde_json::Map::new()),
            ..Self::default()
        }
    }
}

type Account = (Value, Vec<(String, SecretBytes)>);

/// The configuration as the host hands it over, and the secrets that the account holds.
fn account(provider: &Provider, script: &Script) -> Result<Account, String> {
    let schema = &provider.descriptor.config_schema;
    let in_words = |refusal: control::Refusal| match refusal {
        control::Refusal::Invalid { field, rule } => {
            format!("{} {rule}", field.replace("provider_data", "config"))
        }
        other => format!("{other:?}"),
    };
    let mut config = script.config.clone();
    let moved = schema::take_secrets(schema, &mut config).map_err(in_words)?;
    let mut secrets: Vec<(String, SecretBytes)> = script
        .secrets
        .iter()
        .map(|(name, value)| (name.clone(), value.clone().into_bytes().into()))
        .collect();
    secrets.extend(
        moved
            .into_iter()
            .filter_map(|it| Some((it.name, it.value?))),
    );
    let names: Vec<String> = secrets.iter().map(|(name, _)| name.clone()).collect();
    if let Some(name) = names
        .iter()
        .find(|name| !provider.manifest.secrets.names.contains(name))
    {
        return Err(format!("the manifest names no secret `{name}`"));
    }
    schema::check(schema, &config, &names).map_err(in_words)?;
    Ok((config, secrets))
}

fn told(played: &Played) -> String {
    let frames: usize = played.inputs.iter().map(|seen| seen.frames.len()).sum();
    format!(
        "{} inputs: {} events, {frames} frames sent, {} sends",
        played.inputs.len(),
        played.keys.len(),
        played.sends.len()
    )
}

/// What came of requests was not looked at, and nobody should take it for right.
fn unanswered(report: &mut Report, requests: usize) {
    let counted = match requests {
        0 => return,
        1 => "1 request".to_owned(),
        count => format!("{count} requests"),
    };
    report.add(
        "http",
        Severity::Note,
        format!("what it asked for over HTTP ({counted}) was not answered: a script cannot yet"),
        "try the answers on the stage: `.answer_json`, `.answer`",
    );
}

fn report_stopped(report: &mut Report, check: &'static str, when: &str, stopped: Stopped) {
    match stopped {
        Stopped::Script(why) => report.problem(check, format!("{when}{why}"), "correct the script"),
        Stopped::Fault { what, fault } => {
            let todo = mend(&fault);
            let mut said = format!("{when}{what}: the turn failed: {}", fault.message);
            // Here the author looks, and there is nobody else's message in it.
            if let Some((_, panic)) = fault.detail.split_once("panicked at ") {
                let mut lines = panic.lines();
                let place = lines.next().unwrap_or_default().trim_end_matches(':');
                if !said.contains(place) {
                    said += &format!("; panicked at {place}");
                }
                said += &lines
                    .next()
                    .map_or_else(String::new, |text| format!(": {text}"));
            }
            report.problem(check, said, todo);
        }
    }
}

fn mend(fault: &Fault) -> &'static str {
    match fault.kind {
        FaultKind::Err => {
            "an `Err` of a wake or of `start` fails the turn and costs the instance; of a command it is \
             the client's answer"
        }
        FaultKind::Limit => {
            "keep the rule, or ask for a higher limit under [limits] in provider.toml"
        }
        _ => "a panic costs the account its instance and counts as a strike: handle the case",
    }
}

/// Every turn boundary is one at which a new version may take over.
fn hand_over(
    report: &mut Report,
    provider: &Provider,
    straight: &Played,
    played: Result<Played, Stopped>,
) {
    let played = match played {
        Ok(played) => played,
        // The script came to its end without hand-overs, so it is not the script's fault.
        Err(Stopped::Script(said)) => {
            return report.problem(
                "hand-over",
                format!("after hand-overs it did something else: {said}"),
                FORGETS,
            );
        }
        Err(stopped) => return report_stopped(report, "hand-over", "", stopped),
    };
    if provider.manifest.resume == Resume::Reconnect {
        compare_keys(report, "hand-over", "", straight, &played);
        return report.ok("hand-over", "a new instance starts at every turn boundary");
    }
    if !played.unkept.is_empty() {
        return report.problem(
            "hand-over",
            format!(
                "resume is `snapshot`, and a new instance did not keep {}",
                played
                    .unkept
                    .iter()
                    .map(|label| format!("`{label}`"))
                    .collect::<Vec<_>>()
                    .join(", ")
            ),
            "`start.keep(label)` what is open, or say resume = \"reconnect\" in provider.toml",
        );
    }
    let differs = straight
        .inputs
        .iter()
        .zip(&played.inputs)
        .find(|(one, other)| one != other);
    if let Some((one, other)) = differs {
        return report.problem(
            "hand-over",
            format!(
                "{}: after hand-overs it did something else: {}",
                one.what,
                difference(one, other)
            ),
            FORGETS,
        );
    }
    if straight.inputs.len() != played.inputs.len() {
        return report.problem(
            "hand-over",
            format!(
                "hand-overs changed what happened: {} inputs instead of {}",
                played.inputs.len(),
                straight.inputs.len()
            ),
            "`start` with a snapshot must ask for nothing that the instance before had asked for",
        );
    }
    report.ok(
        "hand-over",
        format!(
            "a new instance at each of {} turn boundaries does the same; the largest snapshot has {} bytes of {SNAPSHOT_BYTES}",
            played.inputs.len(),
            played.snapshot_bytes
        ),
    );
}

fn difference(one: &Seen, other: &Seen) -> String {
    if one.what != other.what {
        return format!("{} came next", other.what);
    }
    let text = |frames: &[(String, Vec<u8>)]| {
        let lines = frames
            .iter()
            .map(|(_, bytes)| String::from_utf8_lossy(bytes).into_owned());
        lines.collect::<Vec<_>>()
    };
    if one.frames != other.frames {
        return format!(
            "sent {:?} instead of {:?}",
            text(&other.frames),
            text(&one.frames)
        );
    }
    let keys = |seen: &Seen| {
        seen.events
            .iter()
            .map(|(_, key, _)| key.clone())
            .collect::<Vec<_>>()
    };
    if keys(one) != keys(other) {
        return format!("emitted {:?} instead of {:?}", keys(other), keys(one));
    }
    if one.replies != other.replies {
        return format!("answered {:?} instead of {:?}", other.replies, one.replies);
    }
    if one.kv != other.kv {
        let keys = |seen: &Seen| seen.kv.keys().cloned().collect::<Vec<_>>();
        return format!(
            "wrote other values into kv: {:?}, {:?}",
            keys(other),
            keys(one)
        );
    }
    "an event has other contents".to_owned()
}

/// A turn that did all its work and was lost before its commit: its input comes again.
fn replay(
    report: &mut Report,
    provider: &Provider,
    straight: &Played,
    run: impl Fn(Policy) -> Result<Played, Stopped>,
) {
    // The first of them is the start.
    let turns = straight.inputs.len() - 1;
    let every = turns.div_ceil(LOST_TURNS).max(1);
    let before = report.problems();
    let mut lost = 0;
    for at in (1..=turns).step_by(every) {
        lost += 1;
        let when = format!("the turn of {} was lost: ", straight.inputs[at].what);
        match run(Policy::Lose(at as u64)) {
            Ok(played) => {
                compare_keys(report, "replay", &when, straight, &played);
                compare_sends(report, provider, &when, straight, &played);
            }
            Err(stopped) => report_stopped(report, "replay", &when, stopped),
        }
        // One is enough to begin with.
        if report.problems() > before {
            return;
        }
    }
    report.ok(
        "replay",
        format!("{lost} turns were lost, one after the other; nothing was lost or doubled by it"),
    );
}

fn compare_keys(
    report: &mut Report,
    check: &'static str,
    when: &str,
    straight: &Played,
    played: &Played,
) {
    let list = |keys: BTreeSet<&String>| format!("{keys:?}");
    let missing: BTreeSet<_> = straight.keys.difference(&played.keys).collect();
    if !missing.is_empty() {
        report.problem(
            check,
            format!("{when}events that were emitted before are missing, by their keys {}", list(missing)),
            "emit the event and acknowledge it in one turn, and remember in kv, not in memory, what was seen",
        );
    }
    let doubled: BTreeSet<_> = played.keys.difference(&straight.keys).collect();
    if !doubled.is_empty() {
        report.problem(
            check,
            format!("{when}events came under new keys {}: clients get them twice", list(doubled)),
            "an emission's key is the channel's own id of the thing, never a counter in memory or a random number",
        );
    }
}

fn compare_sends(
    report: &mut Report,
    provider: &Provider,
    when: &str,
    straight: &Played,
    played: &Played,
) {
    for (request, outcome) in &straight.sends {
        let now = played.sends.get(request).map_or("gone", String::as_str);
        let may_be_unknown = !provider.manifest.dedupes_sends && now == "unknown";
        if now != outcome && !may_be_unknown {
            report.problem(
                "replay",
                format!("{when}a send that was {outcome} ended as {now}"),
                "the host calls it again: answer it as if it were the first time",
            );
        }
    }
}

fn limits(report: &mut Report, provider: &Provider, straight: &Played) {
    report.ok(
        "limits",
        format!(
            "the longest turn took {} ms of {} ms CPU; memory stayed below {} MiB",
            straight.cpu_ms,
            provider.limits.cpu_ms,
            provider.limits.memory_bytes >> 20
        ),
    );
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_not_answered_is_not_ok() {
        let mut report = Report::default();
        unanswered(&mut report, 0);
        assert_eq!(report.findings, []);
        unanswered(&mut report, 1);
        unanswered(&mut report, 3);
        let said: Vec<&str> = report.findings.iter().map(|it| it.what.as_str()).collect();
        assert_eq!(
            said,
            [
                "what it asked for over HTTP (1 request) was not answered: a script cannot yet",
                "what it asked for over HTTP (3 requests) was not answered: a script cannot yet",
            ]
        );
        assert_eq!(report.worst(), Severity::Note);
    }
}
