use super::*;

const TEXT: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";

#[test]
fn reads_what_the_recommendation_allows() {
    let context = TraceContext::parse(TEXT).unwrap();
    assert!(context.sampled);
    assert_eq!(context.to_string(), TEXT);
    let unsampled = TEXT.replace("-01", "-00");
    assert!(!TraceContext::parse(&unsampled).unwrap().sampled);
    assert!(TraceContext::parse(&TEXT.replace("00-4", "cc-4")).is_some());
    assert!(TraceContext::parse(&format!("{}-what-comes", TEXT.replace("00-4", "cc-4"))).is_some());
    for wrong in [
        "",
        "00",
        &TEXT[..54],
        &format!("{TEXT}-x"),
        &TEXT.to_uppercase(),
        &TEXT.replace("00-4", "ff-4"),
        &TEXT.replace("4bf92f3577b34da6a3ce929d0e0e4736", &"0".repeat(32)),
        &TEXT.replace("00f067aa0ba902b7", &"0".repeat(16)),
        &TEXT.replace('-', "_"),
        &TEXT.replace("4bf", "4bé"),
        &TEXT.replace("4bf9", "zzzz"),
    ] {
        assert_eq!(TraceContext::parse(wrong), None, "{wrong}");
    }
}

#[test]
fn an_event_carries_its_context_and_no_text_can_pretend() {
    let context = TraceContext::parse(TEXT).unwrap();
    let mut body = br#"{"id":"evt_1","data":{"text":"x"}}"#.to_vec();
    assert_eq!(marked(&body), None);
    mark(&mut body, &context);
    assert_eq!(
        String::from_utf8_lossy(&body),
        format!(r#"{{"id":"evt_1","data":{{"text":"x"}},"traceparent":"{TEXT}"}}"#)
    );
    assert_eq!(marked(&body), Some(context));
    let once = body.clone();
    mark(
        &mut body,
        &TraceContext {
            span: [1; 8],
            ..context
        },
    );
    assert_eq!(body, once, "the first stays");
    serde_json::from_slice::<serde_json::Value>(&body).unwrap();

    let text = format!("a{}", format_args!(",\"traceparent\":\"{TEXT}"));
    let forged = serde_json::to_vec(&serde_json::json!({"zz": text})).unwrap();
    assert!(forged.ends_with(format!("{TEXT}\"}}").as_bytes()));
    assert_eq!(marked(&forged), None);
}

#[test]
fn without_a_receiver_a_context_passes_and_none_is_made_up() {
    let tracer = Tracer::default();
    let context = TraceContext::parse(TEXT).unwrap();
    assert_eq!(tracer.begin(None, "x", Kind::Server).context(), None);
    let step = tracer.begin(Some(context), "x", Kind::Server);
    assert_eq!(step.context(), Some(context));
    assert!(!step.is_recording());
}
